from __future__ import annotations

import errno
import os
from pathlib import Path

import pandas as pd
import pandera.pandas as pa
import pytest
from pandera.typing import Series

from harness.api.case import Case
from harness.api.probe import ProbeRow, error_row
from harness.base.files import make_folder, write_text
from harness.errors import AuditError, UsageError
from harness.record.rows import RowStore, count_rows, read_rows, row_parts, rows_folder


class ScoreRow(ProbeRow):
    score: Series[float] = pa.Field(ge=0)
    queries: Series[int] = pa.Field(ge=0)
    won: Series[bool]


def row(case: str, score: float = 1.0) -> dict[str, object]:
    return {"case_id": case, "status": "ok", "error": None, "score": score, "queries": 3, "won": True}


@pytest.fixture
def store(tmp_path: Path) -> RowStore:
    return RowStore(tmp_path, "suite/probe", ScoreRow)


def test_rows_come_back_in_order_with_errors_as_missing(store: RowStore) -> None:
    store.append([row("b"), error_row(Case("a", {}), "broke"), row("c", 2.0)])
    store.append([error_row(Case("d", {}), "broke too")])
    rows = store.read()
    assert rows["case_id"].tolist() == ["b", "a", "c", "d"]
    assert rows["score"].isna().tolist() == [False, True, False, True]
    assert rows["queries"].sum() == 6
    assert rows.loc[rows["won"] == True, "case_id"].tolist() == ["b", "c"]  # noqa: E712
    assert store.done() == {"a", "b", "c", "d"}
    kinds = [pd.read_parquet(part).dtypes.astype(str).to_dict() for part in row_parts(store.audit, store.probe)]
    assert kinds[0] == kinds[1]


def test_empty_store(store: RowStore) -> None:
    assert store.read().empty
    assert store.done() == set()


def test_a_half_written_part_is_not_seen(store: RowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append([row("a")])

    def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(KeyboardInterrupt):
        store.append([row("b")])
    monkeypatch.undo()
    assert store.done() == {"a"}
    store.append([row("b")])
    assert store.done() == {"a", "b"}


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({**row("a"), "score": -1.0}, "column 'score'"),
        ({**row("a"), "queries": None}, "queries"),
        ({**row("a"), "status": "error"}, "without a reason"),
    ],
)
def test_a_row_that_breaks_the_schema_names_the_probe(store: RowStore, bad: dict[str, object], why: str) -> None:
    with pytest.raises(AuditError, match=f"suite/probe: .*{why}"):
        store.append([bad])
    assert store.read().empty


def test_a_damaged_part_is_named(store: RowStore) -> None:
    store.append([row("a")])
    part = row_parts(store.audit, store.probe)[0]
    part.write_bytes(part.read_bytes()[:50])
    with pytest.raises(AuditError, match=f"{part.name}: damaged rows"):
        read_rows(store.audit, store.probe)


def test_disk_full_keeps_what_was_finished(store: RowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append([row("a")])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(AuditError, match=r"the disk is full; free some space; an audit goes on with `assay resume`"):
        store.append([row("b")])
    assert store.done() == {"a"}
    assert [path.name for path in (store.audit / "rows" / "suite__probe").iterdir()] == ["part-000000.parquet"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="a file stands where a folder is needed"):
        make_folder(tmp_path / "file" / "below")


def test_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(UsageError, match="the file system is read-only; choose a folder"):
        write_text(tmp_path / "a", "x")
    assert list(tmp_path.iterdir()) == []


def test_cases_are_counted_as_they_are_read(tmp_path: Path) -> None:
    """By reading: a row that stands in two parts is one case; nothing there is zero."""
    assert count_rows(tmp_path, "toy/share") == 0
    folder = rows_folder(tmp_path, "toy/share")
    folder.mkdir(parents=True)
    for part, ids in enumerate((["a", "b"], ["b", "c"])):
        frame = pd.DataFrame({"case_id": ids, "status": "ok", "error": None})
        frame.to_parquet(folder / f"part-{part:06d}.parquet", index=False)
    assert count_rows(tmp_path, "toy/share") == len(read_rows(tmp_path, "toy/share")) == 3
    (folder / "part-000001.parquet").write_bytes(b"junk")
    with pytest.raises(AuditError, match=r"part-000001\.parquet: damaged rows"):
        count_rows(tmp_path, "toy/share")
