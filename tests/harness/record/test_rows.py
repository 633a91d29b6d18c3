from __future__ import annotations

import errno
import os
from pathlib import Path

import pandas as pd
import pandera.pandas as pa
import pyarrow.parquet as pq
import pytest
from pandera.typing import Series

from harness.api.case import Case
from harness.api.columns import list_column
from harness.api.lists import as_list
from harness.api.probe import ProbeRow, error_row, excluded_row
from harness.base.files import make_folder, write_text
from harness.errors import AuditError, UsageError
from harness.record.rows import RowStore, count_rows, read_cases, read_rows, row_parts, rows_folder


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


def test_rows_of_another_version_are_not_called_damaged(store: RowStore) -> None:
    store.append([row("a")])
    (part,) = row_parts(store.audit, store.probe)
    pq.write_table(pq.read_table(part).drop_columns(["score"]), part)
    with pytest.raises(AuditError, match=r"have no column 'score', so another version of the probe wrote") as caught:
        read_rows(store.audit, store.probe, ["case_id", "score", "won"])
    assert "damaged" not in str(caught.value)
    assert "delete" not in str(caught.value)
    store.append([row("b", 2.0)])
    both = read_rows(store.audit, store.probe, ["case_id", "score", "won"])
    assert both["score"].isna().tolist() == [True, False]
    assert both["won"].tolist() == [True, True]
    pq.write_table(pq.read_table(part).drop_columns(["case_id"]), part)
    for read in (count_rows, read_rows):
        with pytest.raises(AuditError, match="no column 'case_id', so another version"):
            read(store.audit, store.probe)
    part.write_bytes(b"PAR1 cut off")
    with pytest.raises(AuditError, match=r"damaged rows .*; delete this part"):
        read_rows(store.audit, store.probe, ["case_id", "score"])


def test_disk_full_keeps_what_was_finished(store: RowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append([row("a")])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
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


class ListRow(ProbeRow):
    votes: Series[object] = list_column("votes of each class", "votes", of="int64")
    table: Series[object] = list_column("probabilities of each version", of="double", depth=2)


def listed(case: str, votes: object, table: object = ((0.5, 0.5),)) -> dict[str, object]:
    return {"case_id": case, "status": "ok", "error": None, "votes": votes, "table": table}


def test_lists_are_lists_in_the_file_also_where_every_row_is_an_error(tmp_path: Path) -> None:
    store = RowStore(tmp_path, "suite/probe", ListRow)
    store.append([listed("a", [1, 2], [[0.25, 0.75], [1.0, 0.0]]), error_row(Case("b", {}), "broke")])
    store.append([error_row(Case("c", {}), "broke"), excluded_row(Case("d", {}), "no word")])
    kinds = {str(pq.read_schema(part).field("table").type) for part in row_parts(tmp_path, "suite/probe")}
    assert len(kinds) == 1
    assert kinds.pop().count("list<") == 2
    rows = store.read()
    assert rows["status"].tolist() == ["ok", "error", "error", "excluded"]
    assert as_list(rows["votes"][0]) == [1, 2]
    assert as_list(rows["table"][0]) == [[0.25, 0.75], [1.0, 0.0]]
    assert rows["votes"].isna().tolist() == [False, True, True, True]


def test_rows_of_older_versions_with_lists_as_text_read_the_same(tmp_path: Path) -> None:
    store = RowStore(tmp_path, "suite/probe", ListRow)
    store.append([listed("new", [3, 4])])
    old = pd.DataFrame([listed("old", "[1, 2]", "[[0.5, 0.5]]")])
    old.to_parquet(rows_folder(tmp_path, "suite/probe") / "part-000001.parquet", index=False)
    rows = store.read()
    assert [as_list(cell) for cell in rows["votes"]] == [[3, 4], [1, 2]]
    assert [as_list(cell) for cell in rows["table"]] == [[[0.5, 0.5]]] * 2


@pytest.mark.parametrize("votes", [["x"], 3, "[1, 2]", [[1]]])
def test_a_value_that_is_no_such_list_is_a_fault_of_the_probe(tmp_path: Path, votes: object) -> None:
    with pytest.raises(AuditError, match=r"column 'votes'.*fault of the probe"):
        RowStore(tmp_path, "suite/probe", ListRow).append([listed("a", votes)])
    assert row_parts(tmp_path, "suite/probe") == []


def test_an_excluded_row_needs_its_reason(store: RowStore) -> None:
    with pytest.raises(AuditError, match="without a reason"):
        store.append([{**excluded_row(Case("a", {}), "x"), "error": None}])


def test_cases_are_found_in_any_part_each_once(store: RowStore) -> None:
    for start in range(0, 30, 10):
        store.append([row(f"{case:02d}", float(case)) for case in range(start, start + 10)] + [row("again", start)])
    found = read_cases(store.audit, store.probe, ["25", "again", "nowhere", "03"])
    assert found[["case_id", "score"]].to_numpy().tolist() == [["03", 3.0], ["again", 0.0], ["25", 25.0]]
    assert read_cases(store.audit, store.probe, []).empty
    assert read_cases(store.audit, "no/rows", ["a"]).empty
