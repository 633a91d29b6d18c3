"""Columns of a probe's rows: what each means and in which unit, and columns that hold a list in every row."""

from __future__ import annotations

from functools import cache
from typing import Any

import pandera.pandas as pa

Row = type[pa.DataFrameModel]

ITEM_TYPES = ("double", "int64", "string")
"""What lists hold, by Arrow's names."""
_LIST = "list of"
_ABSENT = "absent"
_OF_CASE = "of_case"
_OWN = ("case_id", "status", "error")
"""Columns that every probe's rows have and only an audit knows."""
_NAMES = {"float64": "double", "boolean": "bool"}


def column(what: str, unit: str = "", *, absent: Any = None, of_case: bool = False, **checks: Any) -> Any:
    """A column: what it means in one line, its unit ('' for names, texts and yes or no), and checks of pandera's Field.

    The line is the column's tooltip, and stands in the exported schema. `absent`: what a row that somebody else made
    holds where the column is missing (`assay measure`); without one the column must be there, unless it is nullable.
    `of_case`: it follows from the case alone (`Probe.of_case`), so the machine puts it into every row, those of failed
    and excluded cases too.
    """
    metadata = {"unit": unit, **_absent(absent), **({_OF_CASE: True} if of_case else {})}
    return pa.Field(description=what, metadata=metadata, **checks)


def list_column(what: str, unit: str = "", *, of: str, depth: int = 1, absent: Any = None, **checks: Any) -> Any:
    """A column `Series[object]` with a list in every row, of `of` (double, int64, string); `depth` 2: lists of lists.

    Raises ValueError for another kind of item. The row store refuses a value that is no such list.
    """
    if of not in ITEM_TYPES or depth not in (1, 2):
        raise ValueError(f"a list column holds {', '.join(ITEM_TYPES)}, 1 or 2 deep; not {of!r}, {depth} deep")
    metadata = {"unit": unit, _LIST: of, "depth": depth, **_absent(absent)}
    return pa.Field(description=what, metadata=metadata, **checks)


def _absent(value: Any) -> dict[str, Any]:
    return {} if value is None else {_ABSENT: value}


def list_columns(row: Row) -> dict[str, tuple[str, int]]:
    """Item type and depth of each column that holds lists."""
    said = {name: made.metadata or {} for name, made in row.to_schema().columns.items()}
    return {name: (str(each[_LIST]), int(each["depth"])) for name, each in said.items() if _LIST in each}


@cache
def case_columns(row: Row) -> tuple[str, ...]:
    """Columns that follow from the case alone."""
    return tuple(name for name, made in row.to_schema().columns.items() if (made.metadata or {}).get(_OF_CASE))


def meanings(row: Row) -> dict[str, str]:
    """What each column means, with its unit, in one line; columns without a description are left out."""
    found = {}
    for name, made in row.to_schema().columns.items():
        unit = (made.metadata or {}).get("unit", "")
        if made.description:
            found[name] = f"{made.description} ({unit})" if unit else str(made.description)
    return found


def rows_schema(row: Row) -> dict[str, Any]:
    """The columns as JSON: name, type, unit, meaning, and whether it may be empty in a row with status ok.

    `required`: rows that somebody else made must have it; else `absent` is what they hold without it.
    """
    lists = list_columns(row)
    columns = [
        {
            "name": name,
            "type": _type(made, lists.get(name)),
            "unit": (made.metadata or {}).get("unit", ""),
            "meaning": made.description or "",
            "nullable": bool(made.nullable),
            "required": name not in _OWN and not made.nullable and _ABSENT not in (made.metadata or {}),
            "absent": (made.metadata or {}).get(_ABSENT),
        }
        for name, made in row.to_schema().columns.items()
    ]
    return {"columns": columns}


def _type(made: Any, held: tuple[str, int] | None) -> str:
    if held is None:
        kind = str(made.dtype).lower()
        return "string" if kind.startswith("str") else _NAMES.get(kind, kind)
    item, depth = held
    return "list<" * depth + item + ">" * depth
