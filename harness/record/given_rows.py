"""Rows that somebody else made, such as of published predictions, read into a probe's own row schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa

from harness.api.columns import list_columns, rows_schema
from harness.api.probe import ProbeRow, RowDict
from harness.base.hints import did_you_mean
from harness.base.limits import DATA_BYTES, DATA_ROWS, capped, to_raise
from harness.base.regular import open_regular
from harness.data.columns import TableError
from harness.data.schemas import EMPTY, broken_rule
from harness.data.tables import FORMATS, Lines, json_objects, read_table
from harness.data.unpack import text_stream
from harness.errors import AuditError, DataError
from harness.record.row_check import RowCheck

KINDS = tuple(kind for kind in FORMATS if kind != "txt")
_OWN: Mapping[str, Callable[[int], Any]] = {
    "case_id": lambda number: f"row-{number}",
    "status": lambda number: "ok",
    "error": lambda number: None,
}
"""What every row has that only an audit knows; made from the row's number where the file has none."""
_OWN_SAID = {"case_id": "row-1, row-2, ...", "status": "'ok'", "error": "empty"}
_EMPTY = "is empty; fill it in, or give the row status 'error' and say why in error"
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class GivenRows:
    """Rows as an audit reads its own, and what was made of the file.

    Attributes:
        frame: of the schema's columns.
        filled: columns that the file lacks -> what they hold instead.
        left_out: columns of the file that the schema does not have.
    """

    frame: pd.DataFrame
    filled: Mapping[str, str]
    left_out: Sequence[str]


def read_given_rows(path: Path, probe: str, row: type[ProbeRow]) -> GivenRows:
    """Rows of a file of a kind of KINDS, checked against the schema `row` of a probe.

    Raises UsageError where the file cannot be opened; DataError naming the row (from 1) and the column that is wrong.
    """
    columns = {each["name"]: each for each in rows_schema(row)["columns"]}
    try:
        names, found = _read(path, columns)
    except TableError as error:
        raise DataError(f"{path}: {error}") from error
    if not found:
        raise DataError(f"{path}: no rows; give a file with one row per prediction")
    absent = [name for name in columns if name not in names]
    for name in absent:
        if name not in _OWN and columns[name]["required"]:
            raise DataError(
                f"{path}: no column {name!r}, which {probe} needs ({columns[name]['meaning']})"
                f"{did_you_mean(name, names)}; see `assay measure {probe} --schema`"
            )
    rows = [_row(path, number, values, columns, absent) for number, values in enumerate(found, start=1)]
    filled = {name: _OWN_SAID[name] if name in _OWN else repr(columns[name]["absent"]) for name in absent}
    filled = {name: "empty" if said == "None" else said for name, said in filled.items()}
    return GivenRows(_checked(path, probe, row, rows), filled, [name for name in names if name not in columns])


def _read(path: Path, columns: Collection[str]) -> tuple[list[str], list[dict[str, Any]]]:
    """Names of all columns, and the rows' values of the schema's columns, as text or as the file types them."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    kind = suffixes[-1][1:] if suffixes else ""
    if kind not in KINDS:
        raise DataError(f"{path}: unknown kind of file; use one of {', '.join(KINDS)} (gzip allowed)")
    if kind == "parquet":
        return _read_parquet(path, columns)
    if kind != "jsonl":
        table = read_table(path, kind, frozenset(columns))
        values = [table.columns[name] for name in table.names if name in columns]
        kept = [name for name in table.names if name in columns]
        return list(table.names), [dict(zip(kept, cells, strict=True)) for cells in zip(*values, strict=True)]
    names: dict[str, None] = {}
    rows = []
    with open_regular(path, capped(DATA_BYTES)) as file:
        for record in json_objects(Lines(text_stream(file, packed=path.suffix.lower() == ".gz"))):
            names.update(dict.fromkeys(record))
            rows.append({name: value for name, value in record.items() if name in columns})
    return list(names), rows


def _read_parquet(path: Path, columns: Collection[str]) -> tuple[list[str], list[dict[str, Any]]]:
    import pyarrow
    import pyarrow.parquet as pq

    with open_regular(path, capped(DATA_BYTES)) as file:
        try:
            reader = pq.ParquetFile(file, memory_map=False)
            if reader.metadata.num_rows > capped(DATA_ROWS):
                raise TableError(f"{reader.metadata.num_rows:,} rows, over the cap; {to_raise()}")
            names = list(reader.schema_arrow.names)
            rows = reader.read(columns=[name for name in names if name in columns]).to_pylist()
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise TableError(f"cannot be read as parquet ({' '.join(str(error).split())[:200]})") from error
    return names, rows


def _row(
    path: Path, number: int, values: Mapping[str, Any], columns: Mapping[str, Mapping[str, Any]], absent: Sequence[str]
) -> RowDict:
    """One row with every column of the schema, each of its type. Raises DataError."""
    made: RowDict = {}
    for name, column in columns.items():
        value = values.get(name)
        if name in _OWN and (value is None or value == ""):
            made[name] = _OWN[name](number)
        elif name in absent or (value is None and not column["required"]):
            made[name] = column["absent"]
        else:
            try:
                made[name] = _cell(value, column["type"], nullable=column["nullable"])
            except (ValueError, TypeError, RecursionError):
                raise DataError(
                    f"{path}: row {number}, column {name!r}: {str(value)[:60]!r} is no {column['type']}; correct it"
                ) from None
    return made


def _cell(value: Any, kind: str, *, nullable: bool) -> Any:
    """A value as `kind`, which is a type of `rows_schema`. Raises ValueError or TypeError."""
    if value is None or (value == "" and (nullable or kind != "string")):
        return None
    if kind == "string":
        if not isinstance(value, str):
            raise TypeError
        return str(value)
    if kind.startswith("list<"):
        items = json.loads(value) if isinstance(value, str) else value
        if not isinstance(items, list):
            raise TypeError
        return [_cell(item, kind[5:-1], nullable=False) for item in items]
    text = str(value).strip().lower()
    if kind == "bool":
        return {**_TRUTHS, "1.0": True, "0.0": False}[text] if text in {*_TRUTHS, "1.0", "0.0"} else _no()
    if kind.startswith("int"):
        number = float(text)
        return int(text) if "." not in text and "e" not in text else int(number) if number.is_integer() else _no()
    return float(text)


def _no() -> Any:
    raise ValueError


def _checked(path: Path, probe: str, row: type[ProbeRow], rows: Sequence[RowDict]) -> pd.DataFrame:
    """The rows as an audit reads its own. Raises DataError naming the first row that breaks the schema."""
    schema, lists = row.to_schema(), list_columns(row)
    frame = pd.DataFrame(list(rows), columns=list(schema.columns))
    bad = frame["status"].isin(["error", "excluded"])
    if (bad & frame["error"].isna()).any():
        number = int((bad & frame["error"].isna()).argmax()) + 1
        raise DataError(f"{path}: row {number} has status {frame['status'][number - 1]!r} and no error; say why")
    for name in lists:
        empty = ~bad & frame[name].isna()
        if empty.any() and not schema.columns[name].nullable:
            raise DataError(f"{path}: row {int(empty.argmax()) + 1}, column {name!r} {_EMPTY}")
    try:
        schema.validate(frame[~bad], lazy=True)
        checked = pd.DataFrame(RowCheck(probe, row).table(rows).to_pandas())
    except pa.errors.SchemaErrors as error:
        first = error.failure_cases.iloc[0]
        where = "" if pd.isna(first["index"]) else f"row {int(first['index']) + 1}, "
        rule = broken_rule(str(first["check"]), first["failure_case"])
        what = _EMPTY if rule == EMPTY else f"{str(first['failure_case'])[:60]!r} {rule}; correct it"
        raise DataError(f"{path}: {where}column {first['column']!r} {what}") from error
    except AuditError as error:
        raise DataError(f"{path}: {str(error).split('; this is a fault')[0]}; correct the file") from error
    for why, wrong in row.contradictions(checked[~bad]).items():
        if wrong.any():
            raise DataError(f"{path}: row {wrong.index[wrong][0] + 1} has {why}; correct or leave out the row")
    return checked
