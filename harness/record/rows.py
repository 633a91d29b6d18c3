"""The durable row store: one parquet part per chunk of cases, written atomically, readable after kill -9."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa

from harness.api.columns import list_columns
from harness.api.lists import is_list
from harness.api.probe import ProbeRow, RowDict
from harness.base.files import make_folder, write_atomic
from harness.errors import AuditError

_PART = "part-{:06d}.parquet"
_NULLABLE = {"int64": "Int64", "bool": "boolean"}
"""Kinds that must hold 'missing' in an error row, so that every part has the same types."""


def rows_folder(audit: Path, probe: str) -> Path:
    """Where the rows of `probe` lie in an audit's folder."""
    return audit / "rows" / probe.replace("/", "__")


def row_parts(audit: Path, probe: str) -> list[Path]:
    """Parts of a probe's rows, oldest first."""
    return sorted(rows_folder(audit, probe).glob("part-*.parquet"))


def read_rows(audit: Path, probe: str, columns: list[str] | None = None) -> pd.DataFrame:
    """Rows of `probe` in the order written, one per case; no plug-in is needed; an empty frame when there are none.

    Raises AuditError naming a damaged part.
    """
    parts = [_read_part(path, columns) for path in row_parts(audit, probe)]
    if not parts:
        return pd.DataFrame(columns=columns or ["case_id", "status", "error"])
    frame = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
    del parts  # of a million rows no copy is kept that nobody asks for
    again = frame["case_id"].duplicated()
    return frame[~again].reset_index(drop=True) if again.any() else frame


def count_rows(audit: Path, probe: str) -> int:
    """How many cases of `probe` have a row, without reading anything else. Raises AuditError naming a damaged part."""
    import pyarrow
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    ids = []
    for path in row_parts(audit, probe):
        try:
            ids += pq.read_table(path, columns=["case_id"])["case_id"].chunks
        except (OSError, ValueError, KeyError) as error:
            raise _damaged(path, error) from error
    return int(pc.count_distinct(pyarrow.chunked_array(ids)).as_py()) if ids else 0


class RowStore:
    """Writes the rows of one probe. A part appears whole or not at all, and is never changed."""

    def __init__(self, audit: Path, probe: str, schema: type[ProbeRow]) -> None:
        self.audit = audit
        self.probe = probe
        self.schema = schema.to_schema()
        self._lists = list_columns(schema)

    def append(self, rows: Iterable[RowDict]) -> pd.DataFrame:
        """Check rows against the schema and write them as one new part. Raises AuditError on a row that breaks it."""
        frame = self._checked(pd.DataFrame(list(rows), columns=list(self.schema.columns)))
        folder = make_folder(rows_folder(self.audit, self.probe))
        path = folder / _PART.format(self._next_part())
        table = self._table(frame)
        write_atomic(path, lambda scratch: _write(table, scratch))
        return frame

    def read(self) -> pd.DataFrame:
        """All rows so far."""
        return read_rows(self.audit, self.probe)

    def done(self) -> set[str]:
        """Ids of the cases that have a row."""
        return set(read_rows(self.audit, self.probe, ["case_id"])["case_id"])

    def _next_part(self) -> int:
        parts = row_parts(self.audit, self.probe)
        return int(parts[-1].stem.removeprefix("part-")) + 1 if parts else 0

    def _table(self, frame: pd.DataFrame) -> Any:
        """The rows as a pyarrow.Table: lists as lists, also in a part where every row is an error."""
        import pyarrow

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

    def _checked(self, frame: pd.DataFrame) -> pd.DataFrame:
        failed = frame["status"].isin(["error", "excluded"])
        if frame.loc[failed, "error"].isna().any():
            raise AuditError(
                f"{self.probe}: a row of an error or an excluded case without a reason; this is a fault of the probe"
            )
        try:
            good = pd.DataFrame(self.schema.validate(frame[~failed], lazy=True))
        except pa.errors.SchemaErrors as error:
            first = error.failure_cases.iloc[0]
            raise AuditError(
                f"{self.probe}: a row breaks the probe's own schema, column {first['column']!r}, "
                f"rule {first['check']!r}, value {str(first['failure_case'])[:60]!r}; this is a fault of the probe"
            ) from error
        bad = frame.loc[failed, ["case_id", "status", "error"]].reindex(columns=frame.columns)
        kinds = {name: _NULLABLE.get(str(kind), kind) for name, kind in good.dtypes.items()}
        return pd.concat([good.astype(kinds), bad.astype(kinds)]).sort_index()


def _plain(cell: Any) -> Any:
    """None for a cell without a value, any other as it is."""
    return cell if is_list(cell) or not pd.isna(cell) else None


def _write(table: Any, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path)


def _read_part(path: Path, columns: list[str] | None) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, columns=columns)
    except (OSError, ValueError) as error:  # a damaged file is pyarrow.ArrowInvalid, a ValueError
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> AuditError:
    return AuditError(f"{path}: damaged rows ({error}); delete this part and run `assay resume`")
