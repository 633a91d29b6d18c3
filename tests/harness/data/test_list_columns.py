"""Columns that hold lists by their schema: one JSON text whatever the format; shapes that have none are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandera.pandas as pa
import pyarrow
import pyarrow.parquet as pq
import pytest
from pandera.typing import Series

from harness.data.datasets import DataSource, load_dataset
from harness.data.schemas import LISTS
from harness.errors import DataError


class Answered(pa.DataFrameModel):
    """A text, and a list."""

    text: Series[str] = pa.Field(coerce=True)
    held: Series[str] = pa.Field(coerce=True, nullable=True, metadata={LISTS: True})


class Plain(pa.DataFrameModel):
    """The same column as text."""

    held: Series[str] = pa.Field(coerce=True)


CELLS: list[Any] = [
    ["a", "b\u4f60"],
    [],
    {"text": ["x", "y"], "answer_start": [3, 0]},
    {"text": [], "answer_start": []},
]
READ = [
    '["a", "b\u4f60"]',
    "[]",
    '{"text": ["x", "y"], "answer_start": ["3", "0"]}',
    '{"text": [], "answer_start": []}',
]


def written(path: Path, cells: list[Any]) -> Path:
    records = [{"text": str(at), "held": cell} for at, cell in enumerate(cells)]
    if path.suffix == ".parquet":
        pq.write_table(pyarrow.Table.from_pylist(records), path)
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def read(path: Path, schema: type[pa.DataFrameModel] = Answered) -> list[str]:
    return load_dataset(DataSource(source=str(path)), schema).frame["held"].tolist()


def refused(path: Path, schema: type[pa.DataFrameModel] = Answered) -> str:
    with pytest.raises(DataError) as caught:
        read(path, schema)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


def test_lists_are_the_same_text_in_jsonl_and_in_parquet(tmp_path: Path) -> None:
    assert read(written(tmp_path / "a.jsonl", CELLS)) == READ
    assert read(written(tmp_path / "lists.parquet", CELLS[:2])) == READ[:2]
    assert read(written(tmp_path / "structs.parquet", CELLS[2:])) == READ[2:]


def test_the_digest_of_a_list_is_that_of_its_json_in_a_text_file(tmp_path: Path) -> None:
    csv = tmp_path / "a.csv"
    csv.write_text('text,held\n0,"[""a"", ""b\u4f60""]"\n1,[]\n', encoding="utf-8")
    typed = load_dataset(DataSource(source=str(written(tmp_path / "a.parquet", CELLS[:2]))), Answered)
    assert typed.digest == load_dataset(DataSource(source=str(csv)), Answered).digest


def test_numbers_booleans_and_structures_in_a_list_are_text(tmp_path: Path) -> None:
    cells = [[1, 2.5, True], [{"text": "x", "answer_start": 3}, {"answer_start": 4, "text": "y"}], "no list"]
    expected = ['["1", "2.5", "true"]', '{"text": ["x", "y"], "answer_start": ["3", "4"]}', "no list"]
    assert read(written(tmp_path / "a.jsonl", cells)) == expected
    assert read(written(tmp_path / "a.parquet", [cells[1]])) == [expected[1]]
    assert read(written(tmp_path / "n.parquet", [[1, 2], [3]])) == ['["1", "2"]', '["3"]']


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ([["a"], ["b"]], "lists or structures within a list"),
        ([{"a": ["b"]}], "lists or structures within a list"),
        (["a", None], "a list with a missing item"),
        ({"text": ["a", "b"], "answer_start": [1]}, "lists of different lengths under 'text', 'answer_start'"),
        ({"text": "a"}, "a structure of other things than lists"),
        ({}, "a structure of other things than lists"),
        ({"text": {"a": ["b"]}}, "a structure of other things than lists"),
        ([{"a": "x"}, {"b": "x"}], "a list of structures with different names"),
        (["\ud800"], "half of a surrogate pair"),
        (["a\0"], "the character U+0000"),
    ],
)
def test_other_shapes_are_refused_in_one_sentence_with_their_line(cell: Any, why: str, tmp_path: Path) -> None:
    message = refused(written(tmp_path / "a.jsonl", [["fine"], cell]))
    assert "line 2: column 'held': " in message
    assert why in message


def test_nested_and_ragged_parquet_is_refused_before_or_while_it_is_read(tmp_path: Path) -> None:
    nested = refused(written(tmp_path / "nested.parquet", [[["a"]]]))
    assert "where text or a list of such is needed" in nested
    assert "list with a missing item" in refused(written(tmp_path / "null.parquet", [["a", None]]))
    ragged = [{"text": ["a"], "answer_start": [1, 2]}]
    assert "lists of different lengths" in refused(written(tmp_path / "ragged.parquet", ragged))
    missing = read(written(tmp_path / "missing.parquet", [None, ["a"]]))
    assert missing[1:] == ['["a"]']
    assert missing[0] is None or missing[0] != missing[0]


def test_a_schema_that_wants_text_gets_no_list(tmp_path: Path) -> None:
    assert "holds a list where text is needed" in refused(written(tmp_path / "a.jsonl", [["a"]]), Plain)
    assert "where text is needed" in refused(written(tmp_path / "a.parquet", [["a"]]), Plain)


def test_one_long_item_repeated_a_million_times_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.parquet", [["x" * 100_000] * 500] * 4)
    assert path.stat().st_size < 300_000
    monkeypatch.setenv("ASSAY_LIMITS", "0.1")
    assert "its lists take more than 51 MiB of memory" in refused(path)


def test_more_items_than_the_cap_are_refused_by_the_footer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.parquet", [["x"] * 5_000] * 50)
    monkeypatch.setenv("ASSAY_LIMITS", "0.01")
    assert "its lists hold 250,000 items, over the cap of 200,000" in refused(path)


def test_lists_of_classes_of_the_hub_become_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "held": datasets.Sequence(datasets.ClassLabel(names=["O", "B-PER"]))}
    )

    def load(values: list[Any]) -> list[str]:
        made = datasets.Dataset.from_dict({"text": ["a"] * len(values), "held": values}, features=features)
        monkeypatch.setattr(datasets, "load_dataset", lambda *args, **kwargs: made)
        return load_dataset(DataSource(source="someone/ner"), Answered).frame["held"].tolist()

    assert load([[0, 1], [], [1]]) == ['["O", "B-PER"]', "[]", '["B-PER"]']
    with pytest.raises(DataError, match=r"someone/ner: some of its lists of classes are held back \(-1\)"):
        load([[0, -1]])
