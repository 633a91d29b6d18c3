"""Reads a data file record by record into columns of text, each value in its own form.

csv is RFC 4180; tsv has no quoting, as IANA's text/tab-separated-values; jsonl has an object per line; txt a text per
paragraph. All are UTF-8, with a byte order mark or not, lines ended by LF, CR LF or CR, packed by gzip or not. Parquet
is in `harness.data.columns`. What does not fit is refused with its line; nothing is guessed, repaired or left out.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from harness.base.limits import (
    DATA_BYTES,
    DATA_COLUMNS,
    DATA_LINES,
    DATA_MEMORY,
    DATA_ROWS,
    RECORD_BYTES,
    capped,
    to_raise,
)
from harness.base.regular import open_regular
from harness.data.columns import Column, TableError, parquet_table
from harness.data.unpack import text_stream
from harness.data.values import list_text, plain_text

_BATCH = 8192
"""Rows between two looks at how much memory the columns take."""


@dataclass(frozen=True, slots=True)
class Table:
    """Names of all columns in order, and the values of those that were asked for, None where there is none."""

    names: tuple[str, ...]
    columns: Mapping[str, Column]
    rows: int


def read_table(
    path: Path, kind: str, wanted: Collection[str], *, named: bool = False, lists: Collection[str] = ()
) -> Table:
    """The columns `wanted` of a file of a kind of FORMATS, as far as it has them; `named`: the user said the kind.

    Columns of `lists` may hold lists, which become JSON (`harness.data.values.list_text`); others may not.
    Raises UsageError where the file cannot be opened, TableError saying what in it is wrong, and in which line.
    """
    with open_regular(path, capped(DATA_BYTES)) as file:
        if kind == "parquet":
            return Table(*parquet_table(file, wanted, lists))
        stream = text_stream(file, packed=path.suffix.lower() == ".gz")
        lines = Lines(stream)
        try:
            return _READERS[kind](lines, _Kept(wanted, lists), named)
        except UnicodeDecodeError as error:
            raise TableError(
                f"not UTF-8 ({error.reason}, after line {lines.number}); convert it, e.g. with iconv"
            ) from error
        except OSError as error:
            raise TableError(f"cannot be read as {kind} ({error.strerror or error})") from error


class Lines:
    """Lines of a text with their ends, counted, none longer than a cap; a record may take several.

    Args:
        text: to be read.
        bounded: whether the number of lines is capped too; a reader that keeps no line needs no such cap.
    """

    def __init__(self, text: io.TextIOWrapper, *, bounded: bool = True) -> None:
        self._text, self._most = text, capped(RECORD_BYTES)
        self._most_lines = capped(DATA_LINES) if bounded else sys.maxsize
        self._record = 0
        self.number = 0
        """Of the line last given."""
        self.first = 1
        """Of the first line of the record."""

    def begin(self) -> None:
        """A record begins with the next line."""
        self._record, self.first = 0, self.number + 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._most + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if self.number > self._most_lines:
            raise TableError(f"more than {self._most_lines:,} lines; {to_raise()}")
        self._record += len(line)
        if self._record > self._most:
            self.fail(f"a record of more than {self._most:,} characters, or a quote that is never closed; {to_raise()}")
        if "\0" in line:
            self.fail("holds a zero byte: the file is no text, or not UTF-8; convert it")
        return line

    def fail(self, why: str) -> NoReturn:
        """Raises TableError naming the line where the record begins."""
        raise TableError(why, self.first)


class _Kept:
    """The columns that were asked for, as they grow."""

    def __init__(self, wanted: Collection[str], lists: Collection[str] = ()) -> None:
        self.wanted, self.lists = wanted, lists
        self.columns: dict[str, Column] = {}
        self.rows = 0
        self._memory, self._weighed = 0, 0
        self._most_rows, self._most_memory = capped(DATA_ROWS), capped(DATA_MEMORY)

    def row(self) -> None:
        """Count a row whose values were appended."""
        self.rows += 1
        if self.rows > self._most_rows:
            raise TableError(f"more than {self._most_rows:,} rows; {to_raise()}")
        if self.rows - self._weighed >= _BATCH:
            self.weigh()

    def weigh(self) -> None:
        """Raises TableError where the values since the last time exceed the memory allowed."""
        for column in self.columns.values():
            self._memory += sum(map(sys.getsizeof, column[self._weighed :]))
        self._weighed = self.rows
        if self._memory > self._most_memory:
            raise TableError(f"its text takes more than {self._most_memory >> 20} MiB of memory; {to_raise()}")

    def table(self, names: Sequence[str]) -> Table:
        """What was read."""
        self.weigh()
        return Table(tuple(names), self.columns, self.rows)


def _csv(lines: Lines, kept: _Kept, named: bool) -> Table:
    return _separated(lines, kept, separated_records(lines, "csv", kept.wanted, named=named))


def _tsv(lines: Lines, kept: _Kept, named: bool) -> Table:
    return _separated(lines, kept, separated_records(lines, "tsv", kept.wanted, named=named))


def _quoted_tsv(lines: Lines, kept: _Kept, named: bool) -> Table:
    return _separated(lines, kept, separated_records(lines, "quoted-tsv", kept.wanted, named=named))


def _plain_field(field: str) -> bool:
    """Whether a field of a tsv file is not one that a writer of csv has quoted, which leaves its marks doubled."""
    return not (len(field) > 3 and field[0] == '"' == field[-1] and '""' in field[1:-1])


def _separated(lines: Lines, kept: _Kept, records: Iterator[list[str]]) -> Table:
    names = next(records, None)
    if names is None:
        return kept.table(())
    check_names(lines, names, kept.wanted)
    places = [(at, kept.columns.setdefault(name, [])) for at, name in enumerate(names) if name in kept.wanted]
    for record in records:
        for at, column in places:
            column.append(record[at])
        kept.row()
    return kept.table(names)


_SEPARATED: Mapping[str, Mapping[str, Any]] = {
    "csv": {},
    "tsv": {"delimiter": "\t", "quoting": csv.QUOTE_NONE},
    "quoted-tsv": {"delimiter": "\t"},
}


def separated_records(lines: Lines, kind: str, wanted: Collection[str], *, named: bool = False) -> Iterator[list[str]]:
    """The header, then every record under it, of a csv, tsv or quoted-tsv; `named`: the user said the kind.

    Blank lines are skipped, as csv writers end a file with them. Raises TableError, also where a column `wanted` of a
    tsv is quoted.
    """
    before = csv.field_size_limit(capped(RECORD_BYTES))
    try:
        reader = csv.reader(lines, strict=True, **_SEPARATED[kind])
        checked: list[int] = []
        names: list[str] | None = None
        while True:
            lines.begin()
            record = _next_record(lines, reader, kind)
            if record is None:
                return
            if not record:
                continue
            if names is None:
                names = record
                if kind == "tsv" and not named:
                    checked = [at for at, name in enumerate(names) if name in wanted]
            elif len(record) != len(names):
                lines.fail(_miscounted(record, names, kind))
            elif not all(_plain_field(record[at]) for at in checked):
                lines.fail("a field is quoted as in csv; say format: quoted-tsv, or format: tsv to keep the marks")
            yield record
    finally:
        csv.field_size_limit(before)


def _next_record(lines: Lines, reader: Iterator[list[str]], kind: str) -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        why = "a quote is never closed" if "unexpected end" in str(error) else str(error)
        lines.fail(f"cannot be read as {kind} ({why})")


def _miscounted(record: Sequence[str], names: Sequence[str], kind: str) -> str:
    hint = {"csv": "quote a field that holds a comma", "tsv": "or say format: quoted-tsv where fields are quoted"}
    fields = f"{len(record)} field{'' if len(record) == 1 else 's'}"
    return f"{fields}, the header has {len(names)}; {hint.get(kind, 'correct the line')}"


def check_names(lines: Lines, names: Sequence[str], wanted: Collection[str]) -> None:
    """Raises TableError for a header of too many columns, or with one of those wanted twice."""
    if len(names) > capped(DATA_COLUMNS):
        lines.fail(f"{len(names):,} columns, over the cap of {capped(DATA_COLUMNS):,}; {to_raise()}")
    twice = [name for name, count in Counter(names).items() if count > 1 and (name or name in wanted)]
    if twice:
        lines.fail(f"the column {twice[0][:60]!r} is there twice; rename one")


class Literal(str):
    """A number as it is written in JSON."""

    __slots__ = ()


def _jsonl(lines: Lines, kept: _Kept, named: bool) -> Table:
    """A key that a line lacks is missing there."""
    names: dict[str, None] = {}
    most = capped(DATA_COLUMNS)
    for record in json_objects(lines):
        names.update(dict.fromkeys(record))
        if len(names) > most:
            lines.fail(f"more than {most:,} different keys so far; {to_raise()}")
        for name in kept.wanted:
            if name in record:
                if name not in kept.columns:
                    kept.columns[name] = [None] * kept.rows
                kept.columns[name].append(json_text(lines, name, record[name], is_list=name in kept.lists))
            elif name in kept.columns:
                kept.columns[name].append(None)
        kept.row()
    return kept.table(tuple(names))


def json_objects(lines: Lines) -> Iterator[dict[str, Any]]:
    """The objects of a jsonl file, one a line, numbers as `Literal`; blank lines are skipped. Raises TableError."""
    decoder = json.JSONDecoder(
        object_pairs_hook=_no_key_twice, parse_float=Literal, parse_int=Literal, parse_constant=_no_constant
    )
    while True:
        lines.begin()
        line = next(lines, None)
        if line is None:
            return
        if line.strip():
            yield _object(lines, decoder, line)


def _object(lines: Lines, decoder: json.JSONDecoder, line: str) -> dict[str, Any]:
    try:
        record = decoder.decode(line)
    except RecursionError:
        lines.fail("cannot be read as jsonl (nested too deep)")
    except json.JSONDecodeError as error:
        lines.fail(f"cannot be read as jsonl ({error.msg}, column {error.colno})")
    except ValueError as error:
        lines.fail(f"cannot be read as jsonl ({error})")
    if not isinstance(record, dict):
        lines.fail("cannot be read as jsonl (a line must be an object)")
    return record


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice[:60]!r} is there twice")
    return record


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON; write null where a value is missing")


def json_text(lines: Lines, name: str, value: Any, *, is_list: bool = False) -> str | None:
    """A value of an object as text, of a column that may hold lists by its schema or not. Raises TableError."""
    if isinstance(value, Literal):
        return str(value)
    try:
        return list_text(value) if is_list else plain_text(value)
    except ValueError as error:
        lines.fail(f"column {name!r}: {error}")


def _txt(lines: Lines, kept: _Kept, named: bool) -> Table:
    texts: Column = kept.columns.setdefault("text", [])
    for paragraph in paragraphs(lines):
        texts.append(paragraph)
        kept.row()
    return kept.table(("text",))


def paragraphs(lines: Lines) -> Iterator[str]:
    """Parted by lines without a visible character; a paragraph keeps its own white space and lines."""
    paragraph: list[str] = []
    for line in lines:
        if line.strip():
            paragraph.append(line.rstrip("\r\n"))
            continue
        if paragraph:
            yield "\n".join(paragraph)
            paragraph.clear()
        lines.begin()
    if paragraph:
        yield "\n".join(paragraph)


_READERS: dict[str, Callable[[Lines, _Kept, bool], Table]] = {
    "csv": _csv,
    "tsv": _tsv,
    "quoted-tsv": _quoted_tsv,
    "jsonl": _jsonl,
    "txt": _txt,
}
FORMATS = (*_READERS, "parquet")
"""Kinds of file that are read."""
