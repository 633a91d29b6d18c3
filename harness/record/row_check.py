"""Rows checked against a probe's schema: at once where they plainly fit, by pandera where they do not.

Pandera takes some milliseconds for each column of a part, however small. What it checks of rows is little, so columns
are built as Arrow's and looked at as a whole; a part in which anything is not plainly right goes to pandera, which
converts what can be converted and words what cannot. Both give the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.compute as pc

from harness.api.columns import case_columns, list_columns
from harness.api.lists import is_list
from harness.api.probe import ProbeRow, RowDict
from harness.errors import AuditError

_NULLABLE = {"int64": "Int64", "bool": "boolean"}
"""Kinds that must hold 'missing' in an error row, so that every part has the same types."""
_UNUSABLE = ("error", "excluded")
_OWN = ("case_id", "status", "error")
"""Columns that a row of an error or an excluded case always has; those `of_case` where they are known."""
_INTEGERS = frozenset({int, np.int64, np.int32})
_KINDS: Mapping[str, frozenset[type]] = {
    "int64": _INTEGERS,
    "Int64": _INTEGERS,
    "float64": frozenset({float, np.float64, np.float32}) | _INTEGERS,
    "bool": frozenset({bool, np.bool_}),
    "boolean": frozenset({bool, np.bool_}),
    "string[pyarrow]": frozenset({str}),
    "string": frozenset({str}),
    "str": frozenset({str}),
}
"""Pandera's kinds, each with what its cells may be to be stored as they are; Arrow would cut 2.5 to an int64 of 2."""
_NONE = frozenset({type(None)})
_NO_FIT = (ValueError, TypeError, OverflowError, pyarrow.ArrowException)
"""What Arrow raises of a value that is not of a column's type."""
_CHECKS: Mapping[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "greater_than_or_equal_to": lambda values, given: pc.greater_equal(values, given["min_value"]),
    "greater_than": lambda values, given: pc.greater(values, given["min_value"]),
    "less_than_or_equal_to": lambda values, given: pc.less_equal(values, given["max_value"]),
    "less_than": lambda values, given: pc.less(values, given["max_value"]),
    "isin": lambda values, given: pc.is_in(values, pyarrow.array(list(given["allowed_values"]), values.type)),
}
"""Pandera's checks by name, of values without missing ones; a schema with another one is pandera's alone."""


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    kind: Any
    """Arrow's type."""
    cells: frozenset[type] | None
    """Python types that are stored as they are; None for lists, which Arrow itself refuses where they do not fit."""
    nullable: bool
    unique: bool
    checks: tuple[Callable[[Any], Any], ...]

    def fitting(self, values: list[Any], unusable: int) -> Any | None:
        """The values as an Arrow array; None unless all of them plainly fit, but for `unusable` missing ones."""
        if self.cells is not None and not set(map(type, values)) <= self.cells | _NONE:
            return None
        try:
            made = pyarrow.array(values, self.kind, from_pandas=None if self.cells is None else True)
            if not self.nullable and made.null_count > unusable:
                return None
            there = made.drop_null()
            if self.unique and pc.count_distinct(there).as_py() < len(there):
                return None
            return made if all(pc.all(check(there)).as_py() is not False for check in self.checks) else None
        except _NO_FIT:
            return None


class RowCheck:
    """Turns rows of one probe into a table with the types of its schema, the same in every part."""

    def __init__(self, probe: str, row: type[ProbeRow]) -> None:
        self.probe = probe
        self._schema = row.to_schema()
        self._lists = list_columns(row)
        self._names = list(self._schema.columns)
        self._known = frozenset(self._names)
        self._kept = (*_OWN, *case_columns(row))
        """What a row without a result holds."""
        self._empty: Any = None
        """A table without rows, of the schema of every part; made with the first part."""
        self._columns: list[_Column] | None = None
        """None where only pandera knows how to check."""

    def table(self, rows: Sequence[RowDict]) -> Any:
        """pyarrow.Table of the rows [n], in their order.

        Raises AuditError naming the column and the rule that a row breaks.
        """
        if self._empty is None:
            self._empty = self._to_arrow(self._by_pandera([]))
            self._columns = self._plain_columns()
        for row in rows:
            if not row.keys() <= self._known:
                raise self._broken(sorted(map(str, row.keys() - self._known))[0], "column_in_schema", "")
        made = self._at_once(rows)
        return self._to_arrow(self._by_pandera(rows)) if made is None else made

    def _at_once(self, rows: Sequence[RowDict]) -> Any | None:
        """The table where every row plainly fits, else None."""
        if self._columns is None:
            return None
        cells, unusable = [], 0
        for row in rows:
            if row.get("status") in _UNUSABLE:
                if not isinstance(row.get("error"), str):
                    return None
                unusable += 1
                row = {name: row.get(name) for name in self._kept}
            cells.append(row)
        arrays = []
        for column in self._columns:
            missing = 0 if column.name in _OWN else unusable
            made = column.fitting([row.get(column.name) for row in cells], missing)
            if made is None:
                return None
            arrays.append(made)
        return pyarrow.Table.from_arrays(arrays, schema=self._empty.schema)

    def _plain_columns(self) -> list[_Column] | None:
        if self._schema.checks or self._schema.unique:
            return None
        columns = []
        for name, made in self._schema.columns.items():
            cells = _KINDS.get(str(made.dtype))
            if (cells is None and name not in self._lists) or not made.required or not all(map(_is_plain, made.checks)):
                return None
            checks = tuple(_bound(check.name, dict(check.statistics)) for check in made.checks)
            kind = self._empty.schema.field(name).type
            allowed = None if name in self._lists else cells
            columns.append(_Column(name, kind, allowed, made.nullable, made.unique, checks))
        return columns

    def _by_pandera(self, rows: Sequence[RowDict]) -> pd.DataFrame:
        frame = pd.DataFrame(list(rows), columns=self._names)
        failed = frame["status"].isin(_UNUSABLE)
        if frame.loc[failed, "error"].isna().any():
            raise AuditError(
                f"{self.probe}: a row of an error or an excluded case without a reason; this is a fault of the probe"
            )
        try:
            good = pd.DataFrame(self._schema.validate(frame[~failed], lazy=True))
        except pa.errors.SchemaErrors as error:
            first = error.failure_cases.iloc[0]
            raise self._broken(first["column"], first["check"], first["failure_case"]) from error
        bad = frame.loc[failed, list(self._kept)].reindex(columns=frame.columns)
        kinds = {name: _NULLABLE.get(str(kind), kind) for name, kind in good.dtypes.items()}
        try:
            return pd.concat([good.astype(kinds), bad.astype(kinds)]).sort_index()
        except (ValueError, TypeError) as error:
            raise self._broken("of_case", "dtype", error) from error

    def _to_arrow(self, frame: pd.DataFrame) -> Any:
        """The rows as a pyarrow.Table: lists as lists, also in a part where every row is an error."""
        table = pyarrow.Table.from_pandas(frame.drop(columns=[*self._lists]), preserve_index=False)
        for name, (item, depth) in self._lists.items():
            kind = pyarrow.type_for_alias(item)
            for _ in range(depth):
                kind = pyarrow.list_(kind)
            try:
                values = pyarrow.array([_plain(cell) for cell in frame[name]], kind)
            except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
                raise AuditError(
                    f"{self.probe}: a row breaks the probe's own schema, column {name!r}: {error}; "
                    "this is a fault of the probe"
                ) from error
            table = table.add_column(frame.columns.get_loc(name), name, values)
        return table

    def _broken(self, column: object, rule: object, value: object) -> AuditError:
        return AuditError(
            f"{self.probe}: a row breaks the probe's own schema, column {column!r}, "
            f"rule {rule!r}, value {str(value)[:60]!r}; this is a fault of the probe"
        )


def _is_plain(check: Any) -> bool:
    return check.name in _CHECKS and check.ignore_na and check.groupby is None


def _bound(name: str, given: Mapping[str, Any]) -> Callable[[Any], Any]:
    return lambda values: _CHECKS[name](values, given)


def _plain(cell: Any) -> Any:
    """None for a cell without a value, any other as it is."""
    return cell if is_list(cell) or not pd.isna(cell) else None
