"""The git commit of the working folder, which is untrusted: its git settings can name programs that git would run.

HEAD and its branch are read as plain files. Whether files have changed since is asked of git, but in a repository made
for the question: its settings are ours, only the objects and a copy of the index are the folder's. Filters, monitors,
hooks, drivers, aliases, included settings, remotes and submodules live in settings, so none of them is known there.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from harness.base.surroundings import find_program

DIRTY, UNCHECKED = "+dirty", "+unchecked"
"""After the commit: files differ from it; it could not be told whether they do."""
_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = re.compile(r"refs/[^\s\0~^:?*\[\\]+")
_SECONDS = 10
"""git compares 100,000 unchanged files in under a second; a folder that takes longer has nothing to gain."""
_LIMITED = ("/bin/sh", "-c", 'ulimit -v 2097152 && exec "$@"', "git")
"""2 GiB of address space, in KiB: an object's header says how much memory git takes for it."""
_SMALL, _PACKED, _INDEX = 4096, 32 * 2**20, 128 * 2**20
"""Bytes read of HEAD and of a branch; of packed-refs (400,000 branches); of the index (a million files)."""
_QUIET = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1"}
_OFFLINE = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}


def git_commit(folder: Path | None = None) -> str | None:
    """Commit of a folder (default: the working folder), then DIRTY or UNCHECKED where that holds; None outside git.

    A folder that is itself laid out like a repository's inside is none: git's own look-alike trick.
    """
    try:
        found = _repository((folder or Path.cwd()).resolve())
        if found is None:
            return None
        tree, private, common = found
        head = _head(private, common)
        return None if head is None else head + _changes(tree, private, common, head)
    except (OSError, ValueError):  # unreadable, or a name that no file can have
        return None


def _repository(folder: Path) -> tuple[Path, Path, Path] | None:
    """Work tree, its own git folder, and the one it shares with other work trees; of the nearest parent with a .git."""
    for tree in (folder, *folder.parents):
        marker = tree / ".git"
        if marker.is_dir():
            return tree, marker, marker
        text = _read(marker, _SMALL)
        if text is not None:
            private = (tree / text.removeprefix("gitdir:").strip()).resolve()
            shared = _read(private / "commondir", _SMALL)
            return tree, private, (private / shared.strip()).resolve() if shared else private
    return None


def _head(private: Path, common: Path) -> str | None:
    text = (_read(private / "HEAD", _SMALL) or "").strip()
    for _ in range(5):  # git follows as many symbolic references
        if not text.startswith("ref:"):
            return text if _ID.fullmatch(text) else None
        name = text.removeprefix("ref:").strip()
        if not _REF.fullmatch(name) or ".." in name:
            return None
        text = (_read(private / name, _SMALL) or _read(common / name, _SMALL) or _packed(common, name)).strip()
    return None


def _packed(common: Path, name: str) -> str:
    for line in (_read(common / "packed-refs", _PACKED) or "").splitlines():
        commit, _, ref = line.partition(" ")
        if ref == name:
            return commit
    return ""


def _changes(tree: Path, private: Path, common: Path, head: str) -> str:
    """'' where the tracked files are those of `head`, else DIRTY or UNCHECKED."""
    git = find_program("git")
    if git is None:
        return UNCHECKED
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
        asked = _stand_in(Path(scratch), private, common, head)
        if asked is None:
            return UNCHECKED
        program = [*_LIMITED, git, f"--git-dir={asked}", f"--work-tree={tree}"]
        refresh = ["update-index", "-q", "--refresh", "--ignore-submodules"]  # a file that was only touched is the same
        compare = ["diff-index", "--quiet", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all", head, "--"]
        try:
            _run([*program, *refresh], tree)
            done = _run([*program, *compare], tree)
        except (OSError, subprocess.TimeoutExpired):
            return UNCHECKED
    return {0: "", 1: DIRTY}.get(done.returncode, UNCHECKED)


def _run(command: list[str], tree: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.run(
        command,
        cwd=tree,
        env={**environment, **_QUIET, **_OFFLINE},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )


def _stand_in(scratch: Path, private: Path, common: Path, head: str) -> Path | None:
    """A repository with settings of ours, the folder's objects and a copy of its index; None where it cannot be had."""
    objects = str(common / "objects")
    if "\n" in objects or objects.startswith(('"', "#")):  # no line of a list of paths
        return None
    made = scratch / "git"
    (made / "refs").mkdir(parents=True)
    (made / "objects" / "info").mkdir(parents=True)
    (made / "objects" / "info" / "alternates").write_text(objects + "\n", encoding="utf-8")
    (made / "HEAD").write_text(head + "\n", encoding="utf-8")
    sha256 = "\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = sha256\n"
    windows = "\tpackedGitWindowSize = 32m\n\tpackedGitLimit = 256m\n\tfsmonitor = false\n"
    settings = "[core]\n" + windows + (sha256 if len(head) == 64 else "\trepositoryformatversion = 0\n")
    (made / "config").write_text(settings, encoding="utf-8")
    return made if _copy(private / "index", made / "index") else None


def _copy(source: Path, target: Path) -> bool:
    try:
        with os.fdopen(os.open(source, os.O_RDONLY | os.O_NONBLOCK), "rb") as file, target.open("wb") as out:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > _INDEX:
                return False
            shutil.copyfileobj(file, out)
    except OSError:
        return False
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))  # git looks again at files as young as the index
    return True


def _read(path: Path, limit: int) -> str | None:
    """Text of a regular file of at most `limit` bytes; None for anything else."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
                return None
            return file.read(limit).decode("utf-8", "replace")
    except OSError:
        return None
