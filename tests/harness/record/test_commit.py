"""What a hostile folder's own git settings would run must not run when the commit is noted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.record.commit import DIRTY, UNCHECKED, git_commit

_NOBODY = {
    **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "a@b.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, env=_NOBODY, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "a.txt").write_text("one\n")
    (folder / "b.txt").write_text("two\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def payload(folder: Path) -> tuple[Path, Path]:
    """A program that leaves a mark, and the mark."""
    mark, program = folder / "ran", folder / "program.sh"
    program.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    program.chmod(0o755)
    return program, mark


def test_the_commit_and_whether_files_differ(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert git_commit(repository) == head
    (repository / "untracked").write_text("x")
    assert git_commit(repository) == head
    (repository / "a.txt").write_text("changed\n")
    assert git_commit(repository) == head + DIRTY
    git(repository, "add", "a.txt")
    assert git_commit(repository) == head + DIRTY
    git(repository, "commit", "--quiet", "-m", "second")
    assert git_commit(repository) == git(repository, "rev-parse", "HEAD") != head


def test_a_change_of_the_same_size_in_the_same_moment_is_seen(repository: Path) -> None:
    before = (repository / "a.txt").stat()
    (repository / "a.txt").write_text("eno\n")
    os.utime(repository / "a.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(repository / ".git" / "index", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert str(git_commit(repository)).endswith(DIRTY)


def test_a_file_that_was_only_touched_is_the_same(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    later = (repository / "a.txt").stat().st_mtime_ns + 5 * 10**9
    os.utime(repository / "a.txt", ns=(later, later))
    assert git_commit(repository) == head
    (repository / "a.txt").write_text("changed\n")
    assert git_commit(repository) == head + DIRTY


def test_packed_detached_and_other_work_trees(repository: Path, tmp_path: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git" / "refs" / "heads" / "main").exists()
    assert git_commit(repository) == head
    git(repository, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "other"))
    assert git_commit(tmp_path / "other") == head
    (tmp_path / "other" / "a.txt").write_text("longer than before\n")
    assert git_commit(tmp_path / "other") == head + DIRTY
    git(repository, "checkout", "--quiet", "--detach")
    (repository / "sub").mkdir()
    assert git_commit(repository / "sub") == head


def test_nothing_where_there_is_no_repository(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None


def test_a_folder_laid_out_like_a_repository_is_none_and_runs_nothing(tmp_path: Path) -> None:
    program, mark = payload(tmp_path)
    model = tmp_path / "model"
    git(tmp_path, "init", "--quiet", "--bare", str(model))
    git(model, "config", "core.bare", "false")
    git(model, "config", "core.worktree", ".")
    git(model, "config", "core.fsmonitor", str(program))
    assert git_commit(model) is None
    assert not mark.exists()


@pytest.mark.parametrize("how", ["fsmonitor", "filter", "diff", "include", "hooks", "alias", "submodule", "pager"])
def test_no_setting_of_the_folder_runs_anything(repository: Path, tmp_path: Path, how: str) -> None:
    program, mark = payload(tmp_path)
    head = git(repository, "rev-parse", "HEAD")
    if how == "fsmonitor":
        git(repository, "config", "core.fsmonitor", str(program))
    elif how == "filter":
        (repository / ".gitattributes").write_text("* filter=x\n")
        git(repository, "config", "filter.x.clean", str(program))
        git(repository, "config", "filter.x.process", str(program))
        git(repository, "config", "filter.x.required", "true")
    elif how == "diff":
        (repository / ".gitattributes").write_text("* diff=x\n")
        git(repository, "config", "diff.x.textconv", str(program))
        git(repository, "config", "diff.x.command", str(program))
        git(repository, "config", "diff.external", str(program))
    elif how == "include":
        (tmp_path / "more").write_text(f"[core]\n\tfsmonitor = {program}\n")
        git(repository, "config", "include.path", str(tmp_path / "more"))
    elif how == "hooks":
        git(repository, "config", "core.hooksPath", str(tmp_path / "hooks"))
        (tmp_path / "hooks").mkdir()
        for name in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
            (tmp_path / "hooks" / name).symlink_to(program)
            (repository / ".git" / "hooks" / name).symlink_to(program)
    elif how == "alias":
        git(repository, "config", "alias.diff-index", f"!{program}")
    elif how == "submodule":
        inner = repository / "inner"
        subprocess.run(["cp", "-r", str(repository), str(tmp_path / "copy")], check=True)
        (tmp_path / "copy").rename(inner)
        git(inner, "config", "core.fsmonitor", str(program))
        git(repository, "update-index", "--add", "--cacheinfo", f"160000,{head},inner")
        git(repository, "commit", "--quiet", "-m", "with a submodule")
        head = git(repository, "rev-parse", "HEAD")
        mark.unlink(missing_ok=True)
    else:
        git(repository, "config", "core.pager", str(program))
        git(repository, "config", "pager.diff-index", "true")
    later = (repository / "a.txt").stat().st_mtime_ns + 5 * 10**9
    os.utime(repository / "a.txt", ns=(later, later))  # so that git has to look into it
    assert git_commit(repository) == head
    assert not mark.exists()
    (repository / "a.txt").write_text("changed\n")
    assert git_commit(repository) == head + DIRTY
    assert not mark.exists()


def test_what_git_would_fetch_is_not_fetched(repository: Path, tmp_path: Path) -> None:
    program, mark = payload(tmp_path)
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "config", "remote.origin.url", f"ext::{program}")
    git(repository, "config", "remote.origin.promisor", "true")
    git(repository, "config", "protocol.ext.allow", "always")
    git(repository, "config", "extensions.partialClone", "origin")
    for path in (repository / ".git" / "objects").glob("??/*"):
        path.unlink()
    assert git_commit(repository) == head + UNCHECKED
    assert not mark.exists()


@pytest.mark.parametrize(
    "head", ["ref: ../../secret", "ref: refs/heads/../../../secret", "ref: refs/heads/*", "z" * 40, "", "x" * 9000]
)
def test_a_head_that_names_no_commit_is_none(repository: Path, head: str) -> None:
    (repository / "secret").write_text("0" * 40)
    (repository / ".git" / "HEAD").write_text(head)
    assert git_commit(repository) is None


@pytest.mark.parametrize("name", ["HEAD", "refs/heads/main", "index", "packed-refs"])
def test_a_pipe_in_place_of_a_file_does_not_hang(repository: Path, name: str) -> None:
    head = git(repository, "rev-parse", "HEAD")
    path = repository / ".git" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    assert git_commit(repository) in (None, head, head + UNCHECKED)


def test_without_git_the_commit_is_known_and_changes_are_not(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = git(repository, "rev-parse", "HEAD")
    monkeypatch.setenv("PATH", f".{os.pathsep}")
    assert git_commit(repository) == head + UNCHECKED
