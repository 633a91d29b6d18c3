"""Parquet parts of one probe's rows, and one SQL relation over those that can be read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.record.rows import each_part

PartKey = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A part that can be read, with its columns."""

    path: Path
    schema: Any
    """pyarrow.Schema"""


def parts_key(audit: Path, probe: str) -> PartKey:
    """Name, size and time of every part: changes when the rows do."""
    stats = each_part(audit, probe, lambda path: (path.name, path.stat()))
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def readable_parts(audit: Path, probe: str) -> tuple[list[Part], list[str]]:
    """Parts oldest first, and what is wrong with the others, one sentence each."""
    found = each_part(audit, probe, _examine)
    return [part for part in found if isinstance(part, Part)], [part for part in found if isinstance(part, str)]


def column_names(audit: Path, probe: str) -> frozenset[str]:
    """Columns of any part that can be read; only footers are."""
    parts, _ = readable_parts(audit, probe)
    return frozenset(name for part in parts for name in part.schema.names)


def relation(parts: Sequence[Part]) -> str:
    """SQL that selects all columns of all parts, in the order written.

    A list becomes JSON text where another part of the same audit holds text; a column without any value is left to
    the parts that have some.
    """
    mixed = _mixed(parts)
    selects = [
        f"SELECT {_columns(parts[0].schema, mixed)} FROM read_parquet([{', '.join(map(_file, parts))}])"
        for parts in (list(group) for _, group in groupby(parts, key=lambda part: str(part.schema)))
    ]
    return " UNION ALL BY NAME ".join(selects)


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _examine(path: Path) -> Part | str:
    """Only the footer is read here: a part that is cut off has none."""
    try:
        return Part(path, pq.read_schema(path).remove_metadata())
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        return f"{path.name}: {str(error).splitlines()[0]}"


def _mixed(parts: Iterable[Part]) -> set[str]:
    kinds: dict[str, set[bool]] = {}
    for part in parts:
        for item in part.schema:
            if not pa.types.is_null(item.type):
                kinds.setdefault(item.name, set()).add(pa.types.is_nested(item.type))
    return {name for name, nested in kinds.items() if len(nested) > 1}


def _columns(schema: Any, mixed: set[str]) -> str:
    return ", ".join(_selected(item, mixed) for item in schema)


def _selected(item: Any, mixed: set[str]) -> str:
    name = quoted(item.name)
    if pa.types.is_null(item.type):
        return f"NULL AS {name}"
    return f"to_json({name})::VARCHAR AS {name}" if item.name in mixed and pa.types.is_nested(item.type) else name


def _file(part: Part) -> str:
    """A path in SQL; what DuckDB would take for a pattern is put in brackets."""
    literal = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(part.path))
    return "'" + literal.replace("'", "''") + "'"
