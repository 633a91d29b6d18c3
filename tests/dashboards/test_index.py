from __future__ import annotations

import os
import shutil
from pathlib import Path

from dashboards.audits import merge
from dashboards.index import Index, stamp_of
from harness.record.folder import Status
from tests.audit_folder import make_audit


def test_an_audit_is_read_again_only_when_it_changed_and_forgotten_when_it_is_gone(tmp_path: Path) -> None:
    first = make_audit(tmp_path, "a")
    make_audit(tmp_path, "b")
    index = Index()
    newest, oldest = index.entries(tmp_path)
    assert (newest.audit_id, oldest.audit_id) == ("b", "a")
    again = index.entries(tmp_path)
    assert (again[0] is newest, again[1] is oldest) == (True, True)
    first.write_manifest(first.manifest().model_copy(update={"name": "renamed"}))
    newest_then, oldest_then = index.entries(tmp_path)
    assert newest_then is newest
    assert oldest_then.audit is not None
    assert oldest_then.audit.manifest.name == "renamed"
    shutil.rmtree(tmp_path / "b")
    assert [entry.audit_id for entry in index.entries(tmp_path)] == ["a"]
    assert index.entries(tmp_path / "nowhere") == []


def test_an_audit_put_in_anothers_place_with_its_times_and_sizes_is_read(tmp_path: Path) -> None:
    folder = make_audit(tmp_path, "a")
    index = Index()
    index.entries(tmp_path)
    path = folder.path / "metrics.json"
    status, text = path.stat(), path.read_text()
    path.write_text(text.replace('"n": 38', '"n": 37'))
    assert path.read_text() != text
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as unpacking an archive does
    assert path.stat().st_size == status.st_size
    (entry,) = index.entries(tmp_path)
    assert entry.audit is not None
    assert list(entry.audit.metrics) == folder.metrics()


def test_of_two_folders_of_one_audit_the_one_of_its_name_counts_and_the_other_is_named(tmp_path: Path) -> None:
    folder = make_audit(tmp_path, "b")
    for copy in ("a", "c"):
        shutil.copytree(folder.path, tmp_path / copy)
    entries = {entry.audit_id: entry for entry in merge(Index().entries(tmp_path), [])}
    assert list(entries) == ["c", "b", "a"]
    assert entries["b"].audit is not None
    assert entries["b"].audit.folder == folder.path
    assert entries["a"].audit is None
    assert entries["a"].damage.startswith("says that it is b")


def test_rows_without_a_manifest_are_a_damaged_audit_and_other_folders_none(tmp_path: Path) -> None:
    folder = make_audit(tmp_path, "a")
    folder.manifest_path.unlink()
    (tmp_path / "mlartifacts").mkdir()
    (entry,) = Index().entries(tmp_path)
    assert entry.audit_id == "a"
    assert entry.damage.startswith("its manifest.json is gone")


def test_a_file_that_comes_or_goes_changes_the_stamp(tmp_path: Path) -> None:
    folder = make_audit(tmp_path, status=Status.INTERRUPTED)
    before = stamp_of(folder.path)
    folder.write_tracking({"uri": "sqlite:///x", "run_id": "1"})
    after = stamp_of(folder.path)
    assert before != after
    (folder.path / "tracking.json").unlink()
    assert stamp_of(folder.path) == before
