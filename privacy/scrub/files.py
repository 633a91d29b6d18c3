"""Rewrites a data file record by record: the texts change, everything else stays as it is written.

A record in which nothing changed is copied as it stands, numbers of a jsonl keep their digits, a parquet its schema.
Reads by the rules of `harness.data`; memory holds one record, or one row group of a parquet.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from harness.base.regular import open_regular
from harness.data.columns import TableError
from harness.data.streams import kind_of, open_lines, reading
from harness.data.tables import Lines, Literal, check_names, json_objects, separated_records
from harness.errors import DataError

Change = Callable[[str, str], str]
"""(column, text) to the text that is written."""
_ROWS = 8192
"""Rows of a parquet that are in memory as Python text at once."""


def rewrite(path: Path, output: Path, columns: Collection[str], change: Change, *, packed: bool) -> int:
    """Write `path` with the texts of `columns` changed to `output`; the number of records.

    Args:
        path: csv, tsv, jsonl, txt or parquet.
        output: to be filled; its name says nothing.
        columns: whose texts are given to `change`; the others are not.
        change: what is written instead of a text.
        packed: write gzip.

    Raises:
        DataError: what is wrong with the file, and in which line.
    """
    kind = kind_of(path)
    with reading(path):
        if kind == "parquet":
            return _parquet(path, output, columns, change)
        with open_lines(path) as lines, _writer(output, packed) as out:
            if kind == "jsonl":
                return _jsonl(lines, out, columns, change)
            if kind == "txt":
                return _txt(lines, out, change)
            return _separated(lines, out, kind, columns, change)


@contextmanager
def _writer(output: Path, packed: bool) -> Iterator[TextIO]:
    with output.open("wb") as raw:
        if not packed:
            with io.TextIOWrapper(raw, "utf-8", newline="") as text:
                yield text
            return
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file,
            io.TextIOWrapper(file, "utf-8", newline="") as text,
        ):
            yield text


class _Copied(Lines):
    """Lines that remember those of the record, so that it can be copied as it stands."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.raw: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.raw.append(line)
        return line

    def begin(self) -> None:
        """A record begins with the next line."""
        self._lines.begin()

    def fail(self, why: str) -> Any:
        """Raises TableError naming the line where the record begins."""
        self._lines.fail(why)

    def take(self) -> str:
        """All that was read since the last time."""
        raw = "".join(self.raw)
        self.raw.clear()
        return raw


def _separated(lines: Lines, out: TextIO, kind: str, columns: Collection[str], change: Change) -> int:
    copied = _Copied(lines)
    records = separated_records(copied, kind, columns)
    names = next(records, None)
    if names is None:
        raise TableError("the file is empty")
    check_names(copied, names, columns)
    out.write(copied.take())
    places = [(at, name) for at, name in enumerate(names) if name in columns]
    count = 0
    for record in records:
        raw = copied.take()
        changed = list(record)
        for at, name in places:
            changed[at] = change(name, record[at])
        out.write(raw if changed == record else _row(changed, raw, kind))
        count += 1
    out.write(copied.take())
    return count


def _row(record: Sequence[str], raw: str, kind: str) -> str:
    """A record as it is written, with the line end that it had, and the blank lines before it."""
    body = raw.lstrip("\r\n")
    end = body[len(body.rstrip("\r\n")) :]
    before = raw[: len(raw) - len(body)]
    if kind == "tsv":
        return f"{before}{chr(9).join(record)}{end}"
    text = io.StringIO()
    csv.writer(text, delimiter="," if kind == "csv" else "\t", lineterminator="").writerow(record)
    return f"{before}{text.getvalue()}{end}"


def _jsonl(lines: Lines, out: TextIO, columns: Collection[str], change: Change) -> int:
    copied = _Copied(lines)
    count = 0
    for record in json_objects(copied):
        raw = copied.take()
        changed = False
        for name in columns:
            value = record.get(name)
            if value is None or isinstance(value, (Literal, bool)):
                continue
            if not isinstance(value, str):
                kind = "a list" if isinstance(value, list) else "a structure"
                copied.fail(f"column {name!r}: holds {kind} where text is needed; write it out as text")
            record[name] = change(name, value)
            changed = changed or record[name] != value
        body = raw.rstrip("\r\n")
        out.write(f"{_json(record)}{raw[len(body) :]}" if changed else raw)
        count += 1
    out.write(copied.take())
    return count


def _json(value: Any) -> str:
    """JSON of a value, numbers with the digits that they were written with."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {_json(each)}" for key, each in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _txt(lines: Lines, out: TextIO, change: Change) -> int:
    """Paragraphs with the ends of their lines; what parts them is copied."""
    paragraph: list[str] = []
    count = 0

    def end() -> int:
        if not paragraph:
            return 0
        out.write(change("text", "".join(paragraph)))
        paragraph.clear()
        return 1

    for line in lines:
        if line.strip():
            paragraph.append(line)
            continue
        count += end()
        out.write(line)
        lines.begin()
    return count + end()


def _parquet(path: Path, output: Path, columns: Collection[str], change: Change) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_regular(path, sys.maxsize) as file:
        try:
            reader = pq.ParquetFile(file, memory_map=False)
            schema = reader.schema_arrow
            _check_types(schema, columns)
            with pq.ParquetWriter(output, schema) as writer:
                for batch in reader.iter_batches(_ROWS, use_threads=False):
                    arrays = [
                        _changed(array, name, change) if name in columns else array
                        for name, array in zip(schema.names, batch.columns, strict=True)
                    ]
                    writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
            return int(reader.metadata.num_rows)
        except (pa.ArrowException, MemoryError, OverflowError, ValueError) as error:
            raise TableError(f"cannot be read as parquet ({' '.join(str(error).split())[:200]})") from error


def _changed(array: Any, name: str, change: Change) -> Any:
    import pyarrow as pa

    plain = array.dictionary_decode() if isinstance(array, pa.DictionaryArray) else array
    texts = [None if value is None else change(name, value) for value in plain.to_pylist()]
    return pa.array(texts, plain.type).cast(array.type)


def _check_types(schema: Any, columns: Collection[str]) -> None:
    import pyarrow.types as types

    for name in columns:
        kind = schema.field(name).type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        if not (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)):
            raise DataError(f"column {name!r}: holds {kind}, no text; leave it out")
