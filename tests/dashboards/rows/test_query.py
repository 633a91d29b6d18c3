from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboards.rows import RowFilter, Rows, column_names, csv_bytes, open_rows, pages, parquet_bytes, parts_key, query
from dashboards.rows.query import _told
from dashboards.view_models import views
from harness.base.language import spoken
from harness.errors import AuditError
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


def written(folder: Path, *parts: pa.Table) -> Rows:
    """Rows of `suite/probe`, one file a part."""
    rows = folder / "rows" / "suite__probe"
    rows.mkdir(parents=True)
    for number, part in enumerate(parts):
        pq.write_table(part, rows / f"part-{number:06d}.parquet")
    return open_rows(folder, "suite/probe")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (RowFilter(), "abcd"),
        (RowFilter(status="error"), "c"),
        (RowFilter(contains="FOX"), "ad"),
        (RowFilter(contains="(red)"), "a"),
        (RowFilter(contains=".*"), ""),
        (RowFilter(contains="%"), ""),
        (RowFilter(contains="' OR 1=1 --"), ""),
        (RowFilter(values={"n": [1, 3]}), "ab"),
        (RowFilter(values={"n": [None, 2]}), "cd"),
        (RowFilter(values={"text": [None]}), "c"),
        (RowFilter(values={"score": [None]}), "bc"),  # NaN is missing too, as the choice says
        (RowFilter(values={"score": [None, 0.5]}), "abc"),
        (RowFilter(ranges={"n": (2, 9)}), "ad"),
        (RowFilter(ranges={"score": (0, 1)}), "ad"),
        (RowFilter(sort="n"), "bdac"),
        (RowFilter(sort="n", descending=True), "adbc"),
        (RowFilter(sort="score", descending=True), "adbc"),
        (RowFilter(status="ok", contains="o", ranges={"n": (1, 2)}, sort="text"), "bd"),
    ],
)
def test_filters_and_order(tmp_path: Path, wanted: RowFilter, expected: str) -> None:
    rows = written(tmp_path, TABLE)
    assert list(rows.page(wanted, 1)["case_id"]) == list(expected)
    assert rows.count(wanted) == len(expected)
    read = pd.read_csv(io.BytesIO(csv_bytes(rows, wanted)))
    assert read["case_id"].tolist() == list(expected)
    assert pq.read_table(io.BytesIO(parquet_bytes(rows, wanted)))["case_id"].to_pylist() == list(expected)


def test_pages_cover_every_row_once(tmp_path: Path) -> None:
    ids = [f"{index:03d}" for index in range(101)]
    rows = written(tmp_path, *(pa.table({"case_id": ids[at : at + 30]}) for at in range(0, 101, 30)))
    seen = [case for number in range(1, pages(101) + 1) for case in rows.page(RowFilter(), number)["case_id"]]
    assert seen == ids
    assert (pages(0), pages(50), pages(51)) == (1, 1, 2)
    assert rows.page(RowFilter(), 4).empty
    assert rows.neighbours(RowFilter(), "050") == ("049", "051")
    assert rows.neighbours(RowFilter(), "000") == (None, "001")
    assert rows.neighbours(RowFilter(), "absent") == (None, None)
    assert rows.neighbours(RowFilter(sort="case_id", descending=True), "050") == ("051", "049")


def test_missing_numbers_stay_missing_and_nested_values_become_json(tmp_path: Path) -> None:
    rows = written(tmp_path, TABLE)
    shown = rows.page(RowFilter(), 1)
    assert shown["n"].tolist()[:2] == [3, 1]
    assert shown["n"].isna().tolist() == [False, False, True, False]
    assert shown["tags"].tolist()[:2] == ['["x", "y"]', "[]"]
    found = rows.find("a")
    assert found is not None
    assert found["tags"] == ["x", "y"]
    assert rows.find("z") is None
    assert list(rows.cases(["d", "gone", "a"])["case_id"]) == ["d", "a"]


def test_a_csv_cell_is_no_formula(tmp_path: Path) -> None:
    rows = written(tmp_path, pa.table({"case_id": ["a"], "text": ["=1+1"]}))
    assert b"'=1+1" in csv_bytes(rows, RowFilter())


def test_what_can_be_filtered_and_what_is_hidden(tmp_path: Path) -> None:
    rows = open_rows(make_audit(tmp_path, rows=60).path, "quality/classification")
    assert rows.total == 60
    assert rows.damaged == ()
    assert rows.choices("label") == ["negative", "positive", None]
    assert rows.choices("correct") == [False, True, None]
    assert rows.choices("text") is None
    assert rows.bounds("tokens") == (8.0, 16.0)
    assert "label" not in rows.numeric
    assert rows.private() == ("text",)


def test_texts_are_hidden_in_whatever_holds_them(tmp_path: Path) -> None:
    n = 30
    columns = {
        "case_id": [f"c{index}" for index in range(n)],
        "texts": [[f"secret {index}"] for index in range(n)],
        "deep": [[["a", f"secret {index}"]] for index in range(n)],
        "named": [{"said": f"secret {index}"} for index in range(n)],
        "keyed": pa.array([[(f"secret {index}", 1)] for index in range(n)], pa.map_(pa.string(), pa.int64())),
        "raw": [f"secret {index}".encode() for index in range(n)],
        "once": [f"secret {index}" if index < 5 else None for index in range(n)],  # few differ, none is a label
        "long": ["a sentence that somebody wrote about a neighbour"] * n,
        "group": ["women", "men"] * (n // 2),
        "error": [None] * (n - 1) + ["the logits are NaN, so that nothing can be said"],
        "scores": [[0.5, 0.5]] * n,
    }
    rows = written(tmp_path, pa.table(columns))
    assert rows.private() == ("texts", "deep", "named", "keyed", "raw", "once", "long")
    assert "secret" not in views.mask(rows.page(RowFilter(), 1), rows.private()).to_csv()
    row = rows.find("c1")
    assert row is not None
    assert "secret" not in str(views.mask_row(row, {*row} - {*rows.private()}))


def test_texts_of_a_few_rows_are_no_labels(tmp_path: Path) -> None:
    table = pa.table({"case_id": ["a", "b"], "text": ["Ann lives here", "so does Bo"]})
    assert written(tmp_path, table).private() == ("text",)


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
    rows = open_rows(folder.path, "adversarial/deepwordbug")
    assert rows.total == rows.count(RowFilter()) == 40
    assert list(rows.page(RowFilter(), 1)["queries"]) == list(range(10, 50))


@pytest.mark.parametrize("name", ["place", "Place", "place_"])
def test_repeats_are_shown_once_whatever_the_columns_are_called(tmp_path: Path, name: str) -> None:
    rows = written(tmp_path, pa.table({"case_id": ["a", "a", "b"], name: [1, 2, 3], "place__": [4, 5, 6]}))
    assert list(rows.page(RowFilter(), 1)[name]) == [1, 3]
    assert rows.neighbours(RowFilter(sort=name), "a") == (None, "b")


def test_a_moment_beyond_what_can_be_told_is_one_sentence(tmp_path: Path) -> None:
    rows = written(tmp_path, pa.table({"case_id": ["a"], "at": pa.array([10**12], pa.timestamp("s"))}))
    assert len(rows.page(RowFilter(), 1)) == 1
    with pytest.raises(AuditError, match="cannot be read"):
        rows.find("a")


def test_more_rows_than_are_digested_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "_DIGESTED", 1)
    assert written(tmp_path, pa.table({"case_id": ["a", "b", "a"], "n": [1, 2, 3]})).total == 2


def test_damaged_parts_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = make_audit(tmp_path)
    (part,) = row_parts(folder.path, "adversarial/deepwordbug")
    (part.parent / "part-000001.parquet").write_bytes(b"not parquet")
    rows = open_rows(folder.path, "adversarial/deepwordbug")
    assert rows.total == 40
    assert rows.damaged[0].startswith("part-000001.parquet: ")
    part.write_bytes(b"")
    assert open_rows(folder.path, "adversarial/deepwordbug").total == 0


def test_a_part_damaged_behind_its_footer_is_one_sentence(tmp_path: Path) -> None:
    folder = make_audit(tmp_path)
    (part,) = row_parts(folder.path, "quality/classification")
    data = bytearray(part.read_bytes())
    footer = int.from_bytes(data[-8:-4], "little") + 8
    data[4:-footer] = b"\xff" * (len(data) - footer - 4)
    part.write_bytes(data)
    with pytest.raises(AuditError, match="these rows cannot be read"):
        open_rows(folder.path, "quality/classification").page(RowFilter(), 1)


def test_lists_beside_json_text_of_an_older_part_of_the_same_audit(tmp_path: Path) -> None:
    lists = pa.array([[0.25, 0.75], None], pa.list_(pa.float64()))
    rows = written(
        tmp_path / "a [folder] with a pattern * ?",
        pa.table({"case_id": ["a"], "votes": ["[1, 2]"]}),
        pa.table({"case_id": ["b", "c"], "votes": lists}),
        pa.table({"case_id": ["d"], "votes": pa.nulls(1)}),
    )
    assert not rows.damaged
    assert rows.page(RowFilter(), 1)["votes"].tolist()[:2] == ["[1, 2]", "[0.25,0.75]"]
    assert rows.page(RowFilter(), 1)["votes"].isna().tolist() == [False, False, True, True]


def test_names_that_are_words_of_sql_or_hold_quotes(tmp_path: Path) -> None:
    rows = written(tmp_path, pa.table({"case_id": ["a", "b"], "case": ["x", "y"], 'odd "name"': [1, 2]}))
    assert list(rows.page(RowFilter(values={'odd "name"': [2]}, sort="case"), 1)["case"]) == ["y"]
    assert column_names(tmp_path, "suite/probe") == {"case_id", "case", 'odd "name"'}


def test_a_search_is_read_once_for_its_count_its_pages_and_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 200
    said = ["dull" if index % 3 == 0 else "fine" for index in range(n)]
    rows = written(tmp_path, pa.table({"case_id": [f"c{index:03}" for index in range(n)], "text": said}))
    wanted = RowFilter(contains="DULL", sort="case_id", descending=True)
    expected = [f"c{index:03}" for index in range(n - 1, -1, -1) if index % 3 == 0]
    searched: list[str] = []
    ask = rows._asked

    def asked(work: Any) -> Any:
        searched.append("asked")
        return ask(work)

    monkeypatch.setattr(rows, "_asked", asked)
    assert rows.count(wanted) == len(expected)
    assert len(searched) == 1
    assert list(rows.page(wanted, 2, 50)["case_id"]) == expected[50:]
    assert [rows.neighbours(wanted, case) for case in (expected[0], expected[5], expected[-1], "c001")] == [
        (None, expected[1]),
        (expected[4], expected[6]),
        (expected[-2], None),
        (None, None),
    ]
    assert len(searched) == 2  # the rows of the page


def test_a_search_that_finds_more_than_is_kept_gives_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"case_id": [f"c{index}" for index in range(90)], "text": ["a", "b", "a"] * 30})
    rows = written(tmp_path, table)
    wanted = RowFilter(contains="a")
    kept = rows.page(wanted, 2), rows.count(wanted), rows.neighbours(wanted, "c3")
    monkeypatch.setattr("dashboards.rows.query._FOUND", 10)
    other = written(tmp_path / "other", table)
    assert list(other.page(wanted, 2)["case_id"]) == list(kept[0]["case_id"])
    assert (other.count(wanted), other.neighbours(wanted, "c3")) == kept[1:]


def test_of_too_many_parts_the_first_are_shown_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboards.rows.parts.MOST_PARTS", 3)
    rows = written(tmp_path, *[pa.table({"case_id": [f"c{index}"]}) for index in range(5)])
    assert rows.total == 3
    assert "5 parts; those of the first 3" in rows.left_out[0]
    before = parts_key(tmp_path, "suite/probe")
    assert len(before) == 1
    folder = next((tmp_path / "rows").iterdir())
    pq.write_table(pa.table({"case_id": ["new"]}), folder / "part-000009.parquet")
    assert parts_key(tmp_path, "suite/probe") != before


def test_of_too_many_columns_the_first_are_shown_and_those_of_every_probe(tmp_path: Path) -> None:
    wide = {f"c{index}": [index] for index in range(300)}
    rows = written(tmp_path, pa.table({**wide, "case_id": ["a"], "status": ["ok"]}))
    assert len(rows.columns) == 200
    assert {"case_id", "status", "c0"} <= set(rows.columns)
    assert "302 columns" in rows.left_out[0]
    with spoken("zh"):  # the same rows, shown to somebody else
        assert "302 列" in rows.left_out[0]


def test_a_column_of_large_cells_is_not_read_and_a_long_text_is_cut_in_the_table(tmp_path: Path) -> None:
    table = pa.table({"case_id": ["a", "b"], "huge": ["x" * 600_000, "y" * 600_000], "long": ["z" * 30_000, "short"]})
    rows = written(tmp_path, table)
    assert "column huge" in rows.left_out[0]
    shown = rows.page(RowFilter(), 1)
    assert shown["huge"].isna().all()
    assert shown["long"].iloc[0] == "z" * 10_000 + "… (cut)"
    assert shown["long"].iloc[1] == "short"
    assert views.mask(shown, ["long"])["long"].tolist() == ["hidden (over 10000 characters)", "hidden (5 characters)"]
    row = rows.find("a")
    assert row is not None
    assert len(row["long"]) == 30_000
    assert len(rows.cases(["b"])) == 1


def test_a_value_of_a_row_is_cut_where_a_browser_would_choke() -> None:
    (field,) = views.row_fields({"text": "a" * 250_000})
    assert len(field.text) < 101_000
    assert "250,000 characters in all" in field.text


def test_what_breaks_while_rows_are_exported_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = written(tmp_path, pa.table({"case_id": [f"c{index}" for index in range(30_000)]}))
    batches = rows.batches(RowFilter(), 30_000)
    next(batches)

    class Torn:
        def __iter__(self) -> Torn:
            return self

        def __next__(self) -> None:
            raise pa.ArrowInvalid("torn\nand more")

    monkeypatch.setattr(rows, "_asked", lambda _ask: Torn())
    with pytest.raises(AuditError, match=r"^these rows cannot be read: a part .* reload the page.* \(torn\)$"):
        list(rows.batches(RowFilter(), 1))
    monkeypatch.undo()
    monkeypatch.setattr("dashboards.rows.export.BYTES", 10)
    with pytest.raises(AuditError, match="filter them"):
        csv_bytes(rows, RowFilter())


def test_a_part_that_goes_away_while_rows_are_exported_is_one_sentence(tmp_path: Path) -> None:
    folder = make_audit(tmp_path)
    rows = open_rows(folder.path, "quality/classification")
    for part in row_parts(folder.path, "quality/classification"):
        part.write_bytes(part.read_bytes()[:100])
    for make in (csv_bytes, parquet_bytes):
        with pytest.raises(AuditError, match=r"^these rows cannot be read: a part .* reload the page") as told:
            make(rows, RowFilter())
        assert "\n" not in str(told.value)


def test_rows_that_do_not_fit_into_memory_are_told_apart_from_damaged_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = written(tmp_path, pa.table({"case_id": ["a"]}))

    def full(_ask: object) -> None:
        with _told():
            raise duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate")

    monkeypatch.setattr(rows, "_asked", full)
    with pytest.raises(AuditError, match=r"^these rows cannot be read within 400MB of memory: leave fewer by filters"):
        csv_bytes(rows, RowFilter())


def test_a_name_of_a_column_that_holds_a_line_break_stays_whole_in_every_csv(tmp_path: Path) -> None:
    table = pa.table({"case_id": [f"c{index}" for index in range(12_000)], "said\nby whom": ["x"] * 12_000})
    read = pd.read_csv(io.BytesIO(csv_bytes(written(tmp_path, table), RowFilter())))
    assert list(read.columns) == ["case_id", "said\nby whom"]
    assert len(read) == 12_000  # more than one batch: no header between them
    assert set(read["said\nby whom"]) == {"x"}


def test_rows_that_nobody_looks_at_leave_no_view_behind(tmp_path: Path) -> None:
    rows = written(tmp_path, pa.table({"case_id": ["a"]}))
    schemas = "SELECT count(*) FROM information_schema.schemata WHERE schema_name LIKE 'rows_%'"
    before = int(rows._one(schemas)[0])
    other = written(tmp_path / "other", pa.table({"case_id": ["a"]}))
    assert rows._one(schemas)[0] == before + 1
    del other
    assert rows._one(schemas)[0] == before
