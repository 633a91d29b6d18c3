"""Counts, pages and single rows of a probe, asked of DuckDB; never more than a page of them is in this process."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import count as numbers
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from dashboards.rows.parts import left_out, quoted, readable_parts, relation
from harness.errors import AuditError

PAGE = 50
CHOICES = 40
"""A column with at most so many distinct values is filtered by choosing among them."""
_WORDS, _WORD_LENGTH = 12, 40
"""A column of text holds labels, not texts to read, where no more values differ and none is longer (characters)."""
SHORT = ("case_id", "status")
"""Columns of every probe that hold no text to read."""
MEMORY = "400MB"
"""Of all rows that are open together. A sort over the longest column of 10^6 rows needs about half of it; what does not
fit goes to disk."""
CELL = 10_000
"""Letters of a text in a table; in full it stands beside it."""
CUT = "… (cut)"
"""End of a text that was longer."""
_LOOKED_AT = 2_000
"""Rows in which texts that are no labels show themselves, in one question for all columns."""
_DIGESTED = 10_000_000
"""Rows whose digests are held at once while it is seen whether a case was written twice: 160 MB."""
_BATCH = 10_000
_FOUND = 100_000
"""Cases of a text search that are kept (2 MB of ids): a search that finds more fills its pages without reading all."""
_SEARCHES = 4

T = TypeVar("T")
_NUMBERS = numbers()


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


class Rows:
    """Rows of one probe, one per case, in the order written; `damaged` names the parts that could not be read.

    `left_out` tells what is not shown since there is too much of it, in sentences.
    """

    def __init__(
        self, select: str | None, damaged: Sequence[str], left_out: Callable[[], Sequence[str]] = tuple
    ) -> None:
        """`select`: SQL over the parts; None where there is none. Raises AuditError for damaged rows."""
        self.damaged = tuple(damaged)
        self._left_out = left_out
        self._connection = _database()
        name = f"rows_{next(_NUMBERS)}"
        self._ask(f"CREATE SCHEMA {name}")
        weakref.finalize(self, _forget, self._connection, name)
        written_as, first = f"{name}.written", f"{name}.first"
        self._ask(f"CREATE VIEW {written_as} AS {select or 'SELECT NULL::VARCHAR AS case_id WHERE false'}")
        schema = self._table(f"SELECT * FROM {written_as} LIMIT 0").schema
        self.columns = tuple(item.name for item in schema)
        self._kinds = {item.name: item.type for item in schema}
        (written,) = self._one(f"SELECT count(*) FROM {written_as}")
        self.total = written if self._each_once(written_as, written) else self._cases(written_as)
        if written != self.total:  # a killed audit wrote some cases twice: the first row of each counts
            place = "place"
            while place in {column.lower() for column in self.columns}:  # which a probe may have called so
                place += "_"
            self._ask(
                f"CREATE VIEW {first} AS SELECT * EXCLUDE ({place}) "
                f"FROM (SELECT *, row_number() OVER () AS {place} FROM {written_as}) "
                f"QUALIFY row_number() OVER (PARTITION BY case_id ORDER BY {place}) = 1 ORDER BY {place}"
            )
        self._from = written_as if written == self.total else first
        self._private: tuple[str, ...] | None = None
        self._found: dict[str, list[str] | None] = {}

    def _each_once(self, written_as: str, written: int) -> bool:
        """Whether no case was written twice, where that is seen by digests of 8 bytes: a third of a count's work."""
        if written > _DIGESTED:
            return False
        digests = np.sort(self._table(f"SELECT hash(case_id) FROM {written_as}").column(0).to_numpy())
        return bool((digests[1:] != digests[:-1]).all())

    def _cases(self, written_as: str) -> int:
        (cases,) = self._one(f"SELECT count(DISTINCT case_id) FROM {written_as}")
        return int(cases)

    @property
    def left_out(self) -> tuple[str, ...]:
        """What is not shown since there is too much of it, in the language spoken now: sessions share these rows."""
        return tuple(self._left_out())

    @property
    def texts(self) -> tuple[str, ...]:
        """Columns that hold text."""
        return tuple(name for name, kind in self._kinds.items() if pa.types.is_string(kind))

    @property
    def sortable(self) -> tuple[str, ...]:
        """Columns with an order: everything that is not nested and has values."""
        return tuple(name for name, kind in self._kinds.items() if not pa.types.is_nested(kind))

    @property
    def numeric(self) -> tuple[str, ...]:
        """Columns of numbers."""
        return tuple(
            name
            for name, kind in self._kinds.items()
            if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        )

    def choices(self, column: str, most: int = CHOICES) -> list[Any] | None:
        """Its distinct values, missing (None) last; None where there are more than `most`."""
        found = self._ask(f"SELECT DISTINCT {quoted(column)} FROM {self._from} LIMIT {most + 1}")
        values = [None if value != value else value for (value,) in found]
        known = sorted({value for value in values if value is not None}, key=str)
        return None if len(found) > most else known + [None] * (None in values)

    def bounds(self, column: str) -> tuple[float, float] | None:
        """Least and greatest finite value of a numeric column."""
        name = f"{quoted(column)}::DOUBLE"
        low, high = self._one(f"SELECT min({name}), max({name}) FROM {self._from} WHERE isfinite({name})")
        return None if low is None else (low, high)

    def private(self) -> tuple[str, ...]:
        """Columns of texts that somebody may not want to see: all that holds text, in lists too, but labels."""
        if self._private is None:
            holding = [name for name, kind in self._kinds.items() if name not in SHORT and _holds_text(kind)]
            texts = self._plainly_texts([name for name in holding if name in self.texts and name != "error"])
            self._private = tuple(name for name in holding if name in texts or not self._holds_labels(name))
        return self._private

    def count(self, wanted: RowFilter) -> int:
        """How many rows `wanted` leaves."""
        found = self._searched(wanted)
        if found is not None:
            return len(found)
        where, values = self._where(wanted)
        (count,) = self._one(f"SELECT count(*) FROM {self._from}{where}", values)
        return int(count)

    def page(self, wanted: RowFilter, number: int, size: int = PAGE) -> pd.DataFrame:
        """Rows of page `number`, from 1."""
        found = self._searched(wanted)
        if found is not None:
            return self.cases(found[(number - 1) * size : number * size])
        limit = f" LIMIT {size} OFFSET {(number - 1) * size}"
        if not wanted.sort:
            return frame(self._selected(wanted, limit, self._cells()))
        return self.cases(self._selected(wanted, limit, "case_id").column(0).to_pylist())  # other texts stay on disk

    def types(self) -> dict[str, str]:
        """Type of each column, by the names of the exported schema: double, int64, bool, string, list<double> ..."""
        return {name: _type_name(kind) for name, kind in self._kinds.items()}

    def read(self, columns: Sequence[str], wanted: RowFilter | None = None) -> pd.DataFrame:
        """These columns of all selected rows, lists as arrays: for what a view computes; a million numbers take 10 MB.

        By default of all rows, those with errors too; a column that there is not is left out.
        """
        names = ", ".join(quoted(name) for name in dict.fromkeys(columns) if name in self._kinds)
        if not names:
            return pd.DataFrame()
        return pd.DataFrame(self._selected(wanted or RowFilter(), "", names).to_pandas())

    def ask(self, select: str, values: Sequence[Any] = ()) -> pd.DataFrame:
        """Answer of DuckDB to a SELECT in which `{rows}` stands for the rows; columns are named by `quoted`.

        Raises AuditError where it cannot be answered.
        """
        return frame(self._table(select.replace("{rows}", self._from), values))

    def batches(self, wanted: RowFilter, most: int) -> Iterator[Any]:
        """Tables of at most 10,000 rows each, `most` rows in all."""
        where, values = self._where(wanted)
        sql = f"SELECT * FROM {self._from}{where} {self._order(wanted)} LIMIT {most}"
        reader = self._asked(lambda cursor: cursor.sql(sql, params=values).to_arrow_reader(_BATCH))
        with _told():  # while the answer is read on
            yield from reader

    def find(self, case: str) -> dict[str, Any] | None:
        """The row of a case, or None."""
        table = self._table(f"SELECT * FROM {self._from} WHERE case_id = ? LIMIT 1", [case])
        with _told():
            found = table.to_pylist()
        return dict(found[0]) if found else None

    def cases(self, ids: Sequence[str]) -> pd.DataFrame:
        """The rows of these cases, in this order; those without a row are left out."""
        if not ids:
            return self.page(RowFilter(), 1, 0)
        where = f"case_id IN ({', '.join('?' * len(ids))})"
        found = frame(self._table(f"SELECT {self._cells()} FROM {self._from} WHERE {where}", ids))
        order = {case: place for place, case in enumerate(ids)}
        return found.sort_values("case_id", key=lambda cases: cases.map(order)).reset_index(drop=True)

    def neighbours(self, wanted: RowFilter, case: str) -> tuple[Any, ...]:
        """The cases before and after one, among those that `wanted` leaves and in its order."""
        found = self._searched(wanted)
        if found is not None:
            around = [None, *found, None]
            return (around[found.index(case)], around[found.index(case) + 2]) if case in found else (None, None)
        where, values = self._where(wanted)
        numbered = f"SELECT case_id, row_number() OVER ({self._order(wanted)}) AS place FROM {self._from}{where}"
        return self._one(
            f"SELECT before, after FROM (SELECT case_id, lag(case_id) OVER (ORDER BY place) AS before, "
            f"lead(case_id) OVER (ORDER BY place) AS after FROM ({numbered})) WHERE case_id = ?",
            [*values, case],
        ) or (None, None)

    def _cells(self) -> str:
        """All columns in SQL, texts as far as a table shows them: of cells of 10 MB a page would be half a gigabyte."""
        kept = f"left({{name}}, {CELL}) || '{CUT}'"
        return ", ".join(
            f"CASE WHEN strlen({name}) > {CELL} THEN {kept.format(name=name)} ELSE {name} END AS {name}"
            if column in self.texts and column not in SHORT
            else name
            for column, name in ((column, quoted(column)) for column in self.columns)
        )

    def _plainly_texts(self, names: Sequence[str]) -> set[str]:
        """Those of which more values differ among the first rows than a column of labels has."""
        if not names:
            return set()
        counts = ", ".join(f"count(DISTINCT left({quoted(name)}, {_WORD_LENGTH + 1}))" for name in names)
        columns = ", ".join(map(quoted, names))
        found = self._one(f"SELECT {counts} FROM (SELECT {columns} FROM {self._from} LIMIT {_LOOKED_AT})")
        return {name for name, count in zip(names, found, strict=True) if count > _WORDS}

    def _searched(self, wanted: RowFilter) -> list[str] | None:
        """Cases that a search for text finds, in order; None without a search, or where it finds too many to keep.

        A search reads every text: its count, its pages and the way from case to case need not do so each anew.
        """
        if not wanted.contains:
            return None
        key, known = repr(wanted), self._found
        if key in known:
            return known[key]
        ids = self._selected(wanted, f" LIMIT {_FOUND + 1}", "case_id").column(0).to_pylist()
        found = ids if len(ids) <= _FOUND else None
        self._found = {**dict(list(known.items())[1 - _SEARCHES :]), key: found}  # at once: sessions share these rows
        return found

    def _holds_labels(self, name: str) -> bool:
        """Few differ, all are short, and each stands in about two rows or more: what a few rows hold may be personal.

        What went wrong may stand in one row and be a sentence: nothing is shown in place of its numbers without it.
        """
        if name not in self.texts:
            return False
        values = self.choices(name, _WORDS)
        if values is None or name == "error":
            return values is not None
        known = [value for value in values if value is not None]
        (rows,) = self._one(f"SELECT count({quoted(name)}) FROM {self._from}")
        return 2 * len(known) <= rows and all(len(value) <= _WORD_LENGTH for value in known)

    def _selected(self, wanted: RowFilter, limit: str, columns: str = "*") -> Any:
        where, values = self._where(wanted)
        return self._table(f"SELECT {columns} FROM {self._from}{where} {self._order(wanted)}{limit}", values)

    def _order(self, wanted: RowFilter) -> str:
        if not wanted.sort:
            return ""
        name = quoted(wanted.sort)
        return f"ORDER BY ({self._is_missing(wanted.sort)}), {name} {'DESC' if wanted.descending else 'ASC'}, case_id"

    def _is_missing(self, column: str) -> str:
        """NaN too: no number was measured there."""
        name = quoted(column)
        missing = f"{name} IS NULL"
        return f"{missing} OR isnan({name})" if pa.types.is_floating(self._kinds[column]) else missing

    def _among(self, name: str, allowed: Sequence[Any]) -> tuple[str, list[Any]]:
        known = [value for value in allowed if value is not None]
        tests = [f"{quoted(name)} IN ({', '.join('?' * len(known))})"] if known else []
        tests += [self._is_missing(name)] if None in allowed else []
        return " OR ".join(tests) or "false", known

    def _where(self, wanted: RowFilter) -> tuple[str, list[Any]]:
        parts: list[tuple[str, list[Any]]] = []
        if wanted.status and "status" in self._kinds:
            parts.append(("status = ?", [wanted.status]))
        if wanted.contains:
            hits = [f"contains(lower({quoted(name)}), lower(?))" for name in self.texts]
            parts.append((" OR ".join(f"coalesce({hit}, false)" for hit in hits), [wanted.contains] * len(hits)))
        parts += [self._among(name, allowed) for name, allowed in wanted.values.items()]
        parts += [_between(name, low, high) for name, (low, high) in wanted.ranges.items()]
        conditions = " AND ".join(f"({condition})" for condition, _ in parts)
        return (f" WHERE {conditions}" if parts else ""), [value for _, values in parts for value in values]

    def _one(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...]:
        found = self._ask(sql, values)
        return tuple(found[0]) if found else ()

    def _table(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """pyarrow.Table"""
        return self._asked(lambda cursor: cursor.sql(sql, params=list(values)).to_arrow_table())

    def _ask(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return list(self._asked(lambda cursor: cursor.execute(sql, list(values)).fetchall()))

    def _asked(self, ask: Callable[[Any], T]) -> T:
        """A cursor for each question: two sessions may look at the same rows. Raises AuditError."""
        with _told():
            return ask(self._connection.cursor())


@contextmanager
def _told() -> Iterator[None]:
    """What DuckDB or Arrow raises of damaged rows, or of those that do not fit in memory, as one sentence."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise AuditError(
            f"these rows cannot be read within {MEMORY} of memory: leave fewer by filters, or sort by a shorter column"
        ) from error
    except (duckdb.Error, pa.ArrowException, OSError, OverflowError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise AuditError(
            "these rows cannot be read: a part of them is damaged, or went away meanwhile; put the audit's "
            f"folder back from a copy, then reload the page ({why})"
        ) from error


@cache
def _database() -> Any:
    """One for all rows that are open, so that they share one bound on memory."""
    connection = duckdb.connect(":memory:", config={"threads": 2, "memory_limit": MEMORY})
    connection.execute("SET enable_progress_bar = false")
    return connection


def _forget(connection: Any, name: str) -> None:
    with suppress(duckdb.Error):  # it may have ended before
        connection.cursor().execute(f"DROP SCHEMA {name} CASCADE")


def open_rows(audit: Path, probe: str) -> Rows:
    """Every part that can be read. Raises AuditError where what can be read is damaged inside."""
    parts, damaged = readable_parts(audit, probe)
    return Rows(relation(parts) if parts else None, damaged, partial(left_out, audit, probe, parts))


def pages(n: int) -> int:
    """How many pages `n` rows fill; an empty table has one."""
    return max(1, -(-n // PAGE))


def frame(table: Any) -> pd.DataFrame:
    """The table as pandas: nested values as JSON, and a missing integer does not turn its column to floats."""
    for index, item in enumerate(table.schema):
        if pa.types.is_nested(item.type):
            values = [None if value is None else _json(value) for value in table.column(index).to_pylist()]
            table = table.set_column(index, item.name, pa.array(values, pa.string()))
    kinds = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype()}
    return pd.DataFrame(table.to_pandas(types_mapper=kinds.get))


def _type_name(kind: Any) -> str:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list<{_type_name(kind.value_type)}>"
    return "string" if pa.types.is_large_string(kind) else str(kind)


def _holds_text(kind: Any) -> bool:
    """Whether a value of this Arrow type can hold text, at any depth; bytes can."""
    if pa.types.is_nested(kind):
        return any(_holds_text(kind.field(index).type) for index in range(kind.num_fields))
    known = (pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return not (any(is_kind(kind) for is_kind in known) or pa.types.is_temporal(kind))


def _between(name: str, low: float, high: float) -> tuple[str, list[Any]]:
    number = f"{quoted(name)}::DOUBLE"
    return f"{number} BETWEEN ? AND ? AND NOT isnan({number})", [low, high]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
