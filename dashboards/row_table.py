"""One probe's rows for the screen: read once, filtered, sorted and paged in Arrow; only a page of them is sent."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.base.csv_cells import csv_text
from harness.record.rows import each_part

PAGE = 50
CHOICES = 40
"""A column with at most so many distinct values is filtered by choosing among them."""
SHORT = ("case_id", "status")
"""Columns of every probe that hold no text to read."""
PartKey = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one probe, one per case, in the order written; `damaged` names the parts that could not be read."""

    table: Any
    """pyarrow.Table"""
    damaged: tuple[str, ...] = ()
    choices: Mapping[str, list[Any]] = field(default_factory=dict)
    """Columns with few distinct values -> those values, missing (None) last."""
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Numeric columns -> least and greatest finite value."""


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows to show, in which order. Empty means no condition."""

    status: str = ""
    contains: str = ""
    """Text that any text column must hold, case ignored; taken literally."""
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """column -> allowed values; None among them allows missing ones."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """numeric column -> lowest and highest value; missing ones are left out."""
    sort: str = ""
    descending: bool = False


def parts_key(audit: Path, probe: str) -> PartKey:
    """Name, size and time of every part: changes when the rows do."""
    stats = each_part(audit, probe, lambda path: (path.name, path.stat()))
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def load_rows(audit: Path, probe: str) -> Rows:
    """Read every part that can be read."""
    parts = each_part(audit, probe, _read_part)
    tables = [part for part in parts if not isinstance(part, str)]
    damaged = [part for part in parts if isinstance(part, str)]
    if not tables:
        return Rows(pa.table({"case_id": pa.array([], pa.string())}), tuple(damaged))
    table = pa.concat_tables(_alike(tables), promote_options="permissive")
    repeated = table.column("case_id").to_pandas().duplicated()
    table = table.filter(pa.array(~repeated)).replace_schema_metadata(None)
    return Rows(
        table,
        tuple(damaged),
        {name: values for name in table.column_names if (values := _choices(table, name)) is not None},
        {name: span for name in _number_columns(table) if (span := _bounds(table, name)) is not None},
    )


def _read_part(path: Path) -> Any:
    """pyarrow.Table, or why the part cannot be read."""
    try:
        return pq.read_table(path)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        return f"{path.name}: {str(error).splitlines()[0]}"


def _alike(tables: Sequence[Any]) -> list[Any]:
    """Tables whose lists are JSON text wherever an older part of the same audit holds them so."""
    kinds: dict[str, set[bool]] = {}
    for table in tables:
        for item in table.schema:
            if not pa.types.is_null(item.type):
                kinds.setdefault(item.name, set()).add(pa.types.is_nested(item.type))
    mixed = {name for name, nested in kinds.items() if len(nested) > 1}
    return [_as_text(table, mixed) for table in tables] if mixed else list(tables)


def _as_text(table: Any, columns: Collection[str]) -> Any:
    """The table with its lists in these columns as JSON text."""
    for index, item in enumerate(table.schema):
        if item.name in columns and pa.types.is_nested(item.type):
            values = [None if value is None else _json(value) for value in table.column(index).to_pylist()]
            table = table.set_column(index, item.name, pa.array(values, pa.string()))
    return table


def select(table: Any, wanted: RowFilter) -> Any:
    """Positions [n] of the rows `wanted` shows, in its order (missing values of the sort column last)."""
    keep = _all_of(
        [*_status(table, wanted), *_contains(table, wanted), *_values(table, wanted), *_ranges(table, wanted)]
    )
    positions = pa.array(range(table.num_rows), pa.int64())
    if keep is not None:
        positions = positions.filter(keep, null_selection_behavior="drop")
    if wanted.sort:
        column = table.column(wanted.sort).take(positions)
        order = "descending" if wanted.descending else "ascending"
        by = pc.sort_indices(pa.table({"key": column}), sort_keys=[("key", order)])
        positions = positions.take(by)
    return positions


def page(table: Any, positions: Any, number: int) -> pd.DataFrame:
    """Rows of page `number` (from 1), at most PAGE of them."""
    return frame(table.take(positions.slice((number - 1) * PAGE, PAGE)))


def pages(n: int) -> int:
    """How many pages `n` rows fill; an empty table has one."""
    return max(1, -(-n // PAGE))


def frame(table: Any) -> pd.DataFrame:
    """The table as pandas: nested values as JSON, and a missing integer does not turn its column to floats."""
    table = _as_text(table, table.column_names)
    kinds = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    return pd.DataFrame(table.to_pandas(types_mapper=kinds.get))


def find_case(table: Any, case_id: str) -> dict[str, Any] | None:
    """The row of a case, or None."""
    found = table.filter(pc.equal(table.column("case_id"), case_id)).slice(0, 1).to_pylist()
    return dict(found[0]) if found else None


def csv_bytes(table: Any, positions: Any) -> bytes:
    """The selected rows as CSV, UTF-8, nested values as JSON; no cell of it is a formula."""
    return csv_text(frame(table.take(positions))).encode(errors="surrogatepass")


def text_columns(table: Any) -> list[str]:
    """Columns that hold text."""
    return [item.name for item in table.schema if pa.types.is_string(item.type) or pa.types.is_large_string(item.type)]


def sortable_columns(table: Any) -> list[str]:
    """Columns with an order: everything that is not nested."""
    return [item.name for item in table.schema if not pa.types.is_nested(item.type) and not pa.types.is_null(item.type)]


def _number_columns(table: Any) -> list[str]:
    return [item.name for item in table.schema if pa.types.is_integer(item.type) or pa.types.is_floating(item.type)]


def _choices(table: Any, column: str) -> list[Any] | None:
    if pa.types.is_nested(table.schema.field(column).type):
        return None
    distinct = pc.unique(table.column(column))
    if len(distinct) > CHOICES:
        return None
    values = distinct.to_pylist()
    return sorted((value for value in values if value is not None), key=str) + [None] * (None in values)


def _bounds(table: Any, column: str) -> tuple[float, float] | None:
    values = pc.cast(table.column(column), pa.float64())
    span = pc.min_max(values.filter(pc.is_finite(values), null_selection_behavior="drop")).as_py()
    return None if span["min"] is None else (span["min"], span["max"])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _status(table: Any, wanted: RowFilter) -> list[Any]:
    return [pc.equal(table.column("status"), wanted.status)] if wanted.status and "status" in table.column_names else []


def _contains(table: Any, wanted: RowFilter) -> list[Any]:
    if not wanted.contains:
        return []
    hits = [
        pc.fill_null(pc.match_substring(table.column(name), wanted.contains, ignore_case=True), False)
        for name in text_columns(table)
    ]
    found = hits[0]
    for more in hits[1:]:
        found = pc.or_(found, more)
    return [found]


def _values(table: Any, wanted: RowFilter) -> list[Any]:
    masks = []
    for name, allowed in wanted.values.items():
        column = table.column(name)
        known = pa.array([value for value in allowed if value is not None], column.type)
        mask = pc.is_in(column, value_set=known)
        masks.append(pc.or_(mask, pc.is_null(column)) if None in allowed else mask)
    return masks


def _ranges(table: Any, wanted: RowFilter) -> list[Any]:
    masks = []
    for name, (low, high) in wanted.ranges.items():
        column = pc.cast(table.column(name), pa.float64())
        masks.append(pc.and_(pc.greater_equal(column, low), pc.less_equal(column, high)))
    return masks


def _all_of(masks: Sequence[Any]) -> Any:
    combined = None
    for mask in masks:
        combined = mask if combined is None else pc.and_(combined, mask)
    return combined
