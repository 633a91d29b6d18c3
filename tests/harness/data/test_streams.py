from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.base.limits import VARIABLE
from harness.data import streams
from harness.data.streams import kind_of, stream
from harness.data.tables import read_table
from harness.errors import DataError

ROWS = [{"text": f'text "{number}", and more\nlines', "label": str(number % 3), "id": number} for number in range(11)]


def quoted(row: dict[str, Any]) -> str:
    return str(row["text"]).replace('"', '""')


def written(path: Path) -> Path:
    kind = kind_of(path)
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
        return path
    lines = {
        "csv": lambda: "text,label,id\r\n" + "".join(f'"{quoted(row)}",{row["label"]},{row["id"]}\r\n' for row in ROWS),
        "tsv": lambda: "text\tlabel\n" + "".join(f"t{row['id']}\t{row['label']}\n\n" for row in ROWS),
        "jsonl": lambda: "".join(json.dumps(row if row["id"] != 4 else {"label": "1"}) + "\n" for row in ROWS),
        "txt": lambda: "\n\n".join(f"a {row['id']}\nb" for row in ROWS),
    }[kind]()
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_bytes(lines.encode())
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "a.jsonl", "a.jsonl.gz", "a.txt", "a.parquet"])
def test_batches_hold_what_the_table_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(streams, "BATCH", 3)
    path = written(tmp_path / name)
    table = read_table(path, kind_of(path), ("text", "label"))
    batches = list(stream(path, ("text", "label")))
    assert [batch.rows for batch in batches] == [3, 3, 3, 2]
    assert [batch.first for batch in batches] == [0, 3, 6, 9]
    assert batches[-1].names == table.names
    for column, values in table.columns.items():
        assert [value for batch in batches for value in batch.columns[column]] == values


def test_no_cap_on_rows_or_size_of_a_plain_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.csv")
    monkeypatch.setenv(VARIABLE, "0.0000009")  # one row, 483 bytes
    monkeypatch.setattr("harness.data.tables.RECORD_BYTES", 10**12)
    monkeypatch.setattr("harness.data.tables.DATA_COLUMNS", 10**12)
    assert sum(batch.rows for batch in stream(path, ("text",))) == len(ROWS)
    with pytest.raises(Exception, match=r"over the cap|more than"):
        read_table(path, "csv", ("text",))


def test_an_empty_file_is_one_empty_batch(tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a.txt"):
        (tmp_path / name).write_text("")
        assert [batch.rows for batch in stream(tmp_path / name, ("text",))] == [0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"text,label\na\n", "a.csv, line 2: 1 field, the header has 2"),
        ("a.jsonl", b'{"text": ["a"]}\n', "a.jsonl, line 1: column 'text': holds a list"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', "a.jsonl: not UTF-8"),
        ("a.parquet", b"nothing", "a.parquet: cannot be read as parquet"),
        ("a.doc", b"nothing", "a.doc: unknown kind of file"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        list(stream(tmp_path / name, ("text",)))
