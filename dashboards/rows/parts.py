"""Parquet parts of one probe's rows, and one SQL relation over those that can be read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.base.language import _
from harness.record.rows import each_part, row_parts, rows_folder

PartKey = tuple[tuple[str, int, int, int], ...]
MOST_PARTS = 2_000
"""Parts of a probe that are opened: a query opens each anew, 0.2 ms apiece. A finished audit has one or a few."""
MOST_COLUMNS = 200
"""Columns that are shown; a probe of ours has 30 at most."""
LARGE_CELL = 250_000
"""Bytes of a cell on average from which a column is not read: DuckDB takes 2,000 cells at a time."""
_OWN = ("case_id", "status", "error")


@dataclass(frozen=True, slots=True)
class Part:
    """A part that can be read, with its columns."""

    path: Path
    schema: Any
    """pyarrow.Schema"""
    large: frozenset[str] = frozenset()
    """Columns with cells too large to be read."""


def parts_key(audit: Path, probe: str) -> PartKey:
    """Name, size and times of every part, of too many those of their folder: changes when the rows do."""
    folder = rows_folder(audit, probe)
    parts = _count(folder)
    if parts > MOST_PARTS:
        told = folder.stat()
        return ((folder.name, parts, told.st_mtime_ns, told.st_ctime_ns),)
    stats = each_part(audit, probe, lambda path: (path.name, path.stat()))
    return tuple((name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in stats)


def readable_parts(audit: Path, probe: str) -> tuple[list[Part], list[str]]:
    """Parts oldest first, `MOST_PARTS` at most, and what is wrong with the others, one sentence each."""
    if _count(rows_folder(audit, probe)) > MOST_PARTS:
        found = [_first(path) for path in row_parts(audit, probe)[:MOST_PARTS]]
    else:
        found = each_part(audit, probe, _examine)
    return [part for part in found if isinstance(part, Part)], [part for part in found if isinstance(part, str)]


def column_names(audit: Path, probe: str) -> frozenset[str]:
    """Columns of any part that can be read; only footers are."""
    parts, _damaged = readable_parts(audit, probe)
    return frozenset(name for part in parts for name in part.schema.names)


def left_out(audit: Path, probe: str, parts: Sequence[Part]) -> list[str]:
    """What of these rows is not shown since there is too much of it, one sentence each."""
    count, columns = _count(rows_folder(audit, probe)), {name for part in parts for name in part.schema.names}
    said = []
    if count > MOST_PARTS:
        said.append(
            _(
                "These rows lie in {n} parts; those of the first {most} are shown. A finished audit keeps them in few.",
                n=f"{count:,}",
                most=f"{MOST_PARTS:,}",
            )
        )
    if len(columns) > MOST_COLUMNS:
        said.append(
            _(
                "These rows have {n} columns; the first {most} are shown.",
                n=f"{len(columns):,}",
                most=f"{MOST_COLUMNS:,}",
            )
        )
    for name in sorted({name for part in parts for name in part.large}):
        said.append(_("The cells of column {name} are too large to be shown.", name=name))
    return said


def relation(parts: Sequence[Part]) -> str:
    """SQL that selects all columns of all parts, in the order written.

    A list becomes JSON text where another part of the same audit holds text; a column without any value is left to
    the parts that have some.
    """
    mixed, shown = _mixed(parts), _shown(parts)
    selects = [
        f"SELECT {_columns(parts[0], mixed, shown)} FROM read_parquet([{', '.join(map(_file, parts))}])"
        for parts in (list(group) for _, group in groupby(parts, key=lambda part: (str(part.schema), part.large)))
    ]
    return " UNION ALL BY NAME ".join(selects)


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _examine(path: Path) -> Part | str:
    """Only the footer is read here: a part that is cut off has none."""
    try:
        with pq.ParquetFile(path) as file:
            return Part(path, file.schema_arrow.remove_metadata(), _large(file.metadata, file.schema_arrow.names))
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        return f"{path.name}: {str(error).splitlines()[0]}"


def _large(footer: Any, names: Sequence[str]) -> frozenset[str]:
    """Columns of which some row group says that its cells are large."""
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    leaves = {
        group.column(at).path_in_schema
        for group in groups
        for at in range(group.num_columns)
        if group.column(at).total_uncompressed_size > LARGE_CELL * max(group.num_rows, 1)
    }
    return frozenset(name for name in names if any(leaf == name or leaf.startswith(f"{name}.") for leaf in leaves))


def _mixed(parts: Iterable[Part]) -> set[str]:
    kinds: dict[str, set[bool]] = {}
    for part in parts:
        for item in part.schema:
            if not pa.types.is_null(item.type):
                kinds.setdefault(item.name, set()).add(pa.types.is_nested(item.type))
    return {name for name, nested in kinds.items() if len(nested) > 1}


def _shown(parts: Iterable[Part]) -> set[str]:
    """Names of the columns that are read: those that every probe has, then the first of the others."""
    names = dict.fromkeys(name for part in parts for name in part.schema.names)
    own = [name for name in _OWN if name in names]
    return {*own, *[name for name in names if name not in own][: MOST_COLUMNS - len(own)]}


def _columns(part: Part, mixed: set[str], shown: set[str]) -> str:
    return ", ".join(_selected(item, mixed, part.large) for item in part.schema if item.name in shown)


def _count(folder: Path) -> int:
    """How many parts lie in a folder, without looking at any."""
    try:
        return sum(name.startswith("part-") and name.endswith(".parquet") for name in os.listdir(folder))  # noqa: PTH208
    except OSError:
        return 0


def _first(path: Path) -> Part | str:
    """One of more parts than are read: that it went away meanwhile is no reason to list them all again."""
    try:
        return _examine(path)
    except FileNotFoundError:
        return f"{path.name}: has gone"


def _selected(item: Any, mixed: set[str], large: frozenset[str]) -> str:
    name = quoted(item.name)
    if pa.types.is_null(item.type) or item.name in large:
        return f"NULL AS {name}"
    return f"to_json({name})::VARCHAR AS {name}" if item.name in mixed and pa.types.is_nested(item.type) else name


def _file(part: Part) -> str:
    """A path in SQL; what DuckDB would take for a pattern is put in brackets."""
    literal = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(part.path))
    return "'" + literal.replace("'", "''") + "'"
