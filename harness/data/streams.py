"""Data files of any size as batches of text: the rules of `harness.data.tables`, without holding more than a batch.

What bounds memory stays capped (a record, the columns, a packed file); the size of a plain file, its rows and lines are
not, since nothing of them is kept.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.base.limits import DATA_BYTES, DATA_COLUMNS, capped, to_raise
from harness.base.regular import open_regular
from harness.data.columns import Column, TableError, parquet_batches
from harness.data.tables import FORMATS, Lines, check_names, json_objects, json_text, paragraphs, separated_records
from harness.data.unpack import text_stream
from harness.errors import DataError

BATCH = 2048
"""Records of a batch: at 2 kB each some 4 MiB, read at the speed of larger ones."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records in the order of the file."""

    first: int
    """Number of its first record, from 0."""
    names: tuple[str, ...]
    """All columns seen so far."""
    columns: dict[str, Column]
    """Values [rows] of the columns that were asked for and are there; None: missing."""
    rows: int


def kind_of(path: Path) -> str:
    """The kind of FORMATS that a file's name says; what stands before .gz counts. Raises DataError."""
    suffixes = [suffix.lower()[1:] for suffix in path.suffixes]
    if suffixes and suffixes[-1] == "gz":
        suffixes.pop()
    if not suffixes or suffixes[-1] not in FORMATS:
        raise DataError(f"{path}: unknown kind of file; use one of {', '.join(sorted(FORMATS))} (gzip allowed)")
    return suffixes[-1]


def stream(path: Path, wanted: Collection[str], kind: str | None = None) -> Iterator[Batch]:
    """The columns `wanted` of a file, batch by batch. Raises DataError naming file and line."""
    chosen = kind or kind_of(path)
    with reading(path):
        if chosen == "parquet":
            with open_regular(path, sys.maxsize) as file:
                yield from _numbered(parquet_batches(file, wanted, BATCH))
            return
        with open_lines(path) as lines:
            if chosen == "jsonl":
                yield from _objects(lines, wanted)
            elif chosen == "txt":
                yield from _paragraphs(lines)
            else:
                yield from _separated(lines, chosen, wanted, named=kind is not None)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What is wrong with a file's content, said with its name."""
    try:
        yield
    except TableError as error:
        raise DataError(f"{path}{', ' if str(error).startswith('line ') else ': '}{error}") from error


@contextmanager
def open_lines(path: Path) -> Iterator[Lines]:
    """The lines of a text file, unpacked where its name ends in .gz. Raises UsageError, TableError."""
    packed = path.suffix.lower() == ".gz"
    with open_regular(path, capped(DATA_BYTES) if packed else sys.maxsize) as file:
        lines = Lines(text_stream(file, packed=packed, bounded=packed), bounded=False)
        try:
            yield lines
        except UnicodeDecodeError as error:
            raise TableError(
                f"not UTF-8 ({error.reason}, after line {lines.number}); convert it, e.g. with iconv"
            ) from error
        except OSError as error:
            raise TableError(f"cannot be read ({error.strerror or error})") from error


def _numbered(tables: Iterator[tuple[tuple[str, ...], dict[str, Column], int]]) -> Iterator[Batch]:
    first = 0
    for names, columns, rows in tables:
        yield Batch(first, names, columns, rows)
        first += rows


def _separated(lines: Lines, kind: str, wanted: Collection[str], *, named: bool) -> Iterator[Batch]:
    records = separated_records(lines, kind, wanted, named=named)
    names = tuple(next(records, ()))
    check_names(lines, names, wanted)
    places = [(at, name) for at, name in enumerate(names) if name in wanted]
    first, columns = 0, _empty(places)
    rows = 0
    for record in records:
        for at, name in places:
            columns[name].append(record[at])
        rows += 1
        if rows == BATCH:
            yield Batch(first, names, columns, rows)
            first, columns, rows = first + rows, _empty(places), 0
    if rows or not first:
        yield Batch(first, names, columns, rows)


def _empty(places: list[tuple[int, str]]) -> dict[str, Column]:
    return {name: [] for _, name in places}


def _objects(lines: Lines, wanted: Collection[str]) -> Iterator[Batch]:
    """A key that no record has had so far is no column yet."""
    names: dict[str, None] = {}
    most = capped(DATA_COLUMNS)
    first, rows = 0, 0
    columns: dict[str, Column] = {}
    for record in json_objects(lines):
        names.update(dict.fromkeys(record))
        if len(names) > most:
            lines.fail(f"more than {most:,} different keys so far; {to_raise()}")
        for name in wanted:
            if name in names:
                column = columns.setdefault(name, [])
                column += [None] * (rows - len(column))
                column.append(json_text(lines, name, record.get(name)))
        rows += 1
        if rows == BATCH:
            yield Batch(first, tuple(names), columns, rows)
            first, columns, rows = first + rows, {}, 0
    if rows or not first:
        yield Batch(first, tuple(names), columns, rows)


def _paragraphs(lines: Lines) -> Iterator[Batch]:
    first, texts = 0, list[str | None]()
    for paragraph in paragraphs(lines):
        texts.append(paragraph)
        if len(texts) == BATCH:
            yield Batch(first, ("text",), {"text": texts}, len(texts))
            first, texts = first + len(texts), []
    if texts or not first:
        yield Batch(first, ("text",), {"text": texts}, len(texts))
