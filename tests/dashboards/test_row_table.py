from __future__ import annotations

import io
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboards.row_table import RowFilter, csv_bytes, find_case, frame, load_rows, page, pages, parts_key, select
from harness.record.rows import row_parts
from tests.audit_folder import make_audit

TABLE = pa.table(
    {
        "case_id": ["a", "b", "c", "d"],
        "status": ["ok", "ok", "error", "ok"],
        "text": ["Fox (red)", "dog", None, "fox"],
        "n": pa.array([3, 1, None, 2], pa.int64()),
        "score": pa.array([0.5, float("nan"), None, 0.25], pa.float64()),
        "tags": pa.array([["x", "y"], [], None, ["z"]], pa.list_(pa.string())),
    }
)


def ids(wanted: RowFilter) -> list[str]:
    found: list[str] = TABLE.column("case_id").take(select(TABLE, wanted)).to_pylist()
    return found


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (RowFilter(), "abcd"),
        (RowFilter(status="error"), "c"),
        (RowFilter(contains="FOX"), "ad"),
        (RowFilter(contains="(red)"), "a"),
        (RowFilter(contains=".*"), ""),
        (RowFilter(values={"n": [1, 3]}), "ab"),
        (RowFilter(values={"n": [None, 2]}), "cd"),
        (RowFilter(values={"text": [None]}), "c"),
        (RowFilter(ranges={"n": (2, 9)}), "ad"),
        (RowFilter(ranges={"score": (0, 1)}), "ad"),
        (RowFilter(sort="n"), "bdac"),
        (RowFilter(sort="n", descending=True), "adbc"),
        (RowFilter(status="ok", contains="o", ranges={"n": (1, 2)}, sort="text"), "bd"),
    ],
)
def test_filters_and_order(wanted: RowFilter, expected: str) -> None:
    assert ids(wanted) == list(expected)


def test_pages_cover_every_row_once() -> None:
    table = pa.table({"case_id": [str(index) for index in range(101)]})
    positions = select(table, RowFilter())
    seen = [case for number in range(1, pages(101) + 1) for case in page(table, positions, number)["case_id"]]
    assert seen == table.column("case_id").to_pylist()
    assert (pages(0), pages(50), pages(51)) == (1, 1, 2)
    assert page(table, positions, 4).empty


def test_missing_numbers_stay_missing_and_nested_values_become_json() -> None:
    shown = frame(TABLE)
    assert shown["n"].tolist()[:2] == [3, 1]
    assert shown["n"].isna().tolist() == [False, False, True, False]
    assert shown["tags"].tolist()[:2] == ['["x", "y"]', "[]"]


def test_csv_holds_the_selected_rows() -> None:
    text = csv_bytes(TABLE, select(TABLE, RowFilter(status="ok", sort="n"))).decode()
    read = pd.read_csv(io.StringIO(text))
    assert read["case_id"].tolist() == ["b", "d", "a"]
    assert read["tags"].tolist() == ["[]", '["z"]', '["x", "y"]']


def test_a_case_is_found_or_not() -> None:
    found = find_case(TABLE, "a")
    assert found is not None
    assert found["tags"] == ["x", "y"]
    assert find_case(TABLE, "z") is None


def test_rows_are_loaded_with_what_can_be_filtered(tmp_path: Path) -> None:
    folder = make_audit(tmp_path, rows=60)
    rows = load_rows(folder.path, "quality/classification")
    assert rows.table.num_rows == 60
    assert rows.damaged == ()
    assert rows.choices["label"] == ["negative", "positive", None]
    assert rows.choices["correct"] == [False, True, None]
    assert "text" not in rows.choices
    assert rows.bounds["tokens"] == (8.0, 16.0)
    assert "label" not in rows.bounds


def test_the_key_changes_with_the_parts_and_repeats_are_shown_once(tmp_path: Path) -> None:
    folder = make_audit(tmp_path)
    before = parts_key(folder.path, "adversarial/deepwordbug")
    assert parts_key(folder.path, "adversarial/deepwordbug") == before
    (part,) = row_parts(folder.path, "adversarial/deepwordbug")
    (part.parent / "part-000001.parquet").write_bytes(part.read_bytes())
    after = parts_key(folder.path, "adversarial/deepwordbug")
    assert after != before
    os.utime(part, ns=(1, 1))
    assert parts_key(folder.path, "adversarial/deepwordbug") != after
    assert load_rows(folder.path, "adversarial/deepwordbug").table.num_rows == 40


def test_damaged_parts_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = make_audit(tmp_path)
    (part,) = row_parts(folder.path, "adversarial/deepwordbug")
    (part.parent / "part-000001.parquet").write_bytes(b"not parquet")
    rows = load_rows(folder.path, "adversarial/deepwordbug")
    assert rows.table.num_rows == 40
    assert rows.damaged[0].startswith("part-000001.parquet: ")
    part.write_bytes(b"")
    assert load_rows(folder.path, "adversarial/deepwordbug").table.num_rows == 0


def test_lists_beside_json_text_of_an_older_part_of_the_same_audit(tmp_path: Path) -> None:
    folder = tmp_path / "rows" / "suite__probe"
    folder.mkdir(parents=True)
    lists = pa.array([[0.25, 0.75], None], pa.list_(pa.float64()))
    parts = [
        pa.table({"case_id": ["a"], "votes": ["[1, 2]"]}),
        pa.table({"case_id": ["b", "c"], "votes": lists}),
        pa.table({"case_id": ["d"], "votes": pa.nulls(1)}),
    ]
    for number, part in enumerate(parts):
        pq.write_table(part, folder / f"part-{number:06d}.parquet")
    rows = load_rows(tmp_path, "suite/probe")
    assert not rows.damaged
    assert rows.table.column("votes").to_pylist() == ["[1, 2]", "[0.25, 0.75]", None, None]
