"""The durable row store: parquet parts, each written whole, readable after kill -9 and while they become one file.

When a probe is done its many small parts become one file (`compact`), which takes the place of the oldest part before
the others go. Until they are gone rows stand twice: who reads takes the first of each case, and begins again where a
part that was listed has gone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from harness.api.probe import ProbeRow, RowDict
from harness.base.files import make_folder, write_atomic
from harness.errors import AssayError, AuditError
from harness.record.row_check import RowCheck

_PART = "part-{:06d}.parquet"
_FEW = 8
"""Parts that stay as they are: each costs a reader some 3 ms, so that these are not worth writing all rows again."""
_GROUP = 16384
"""Rows of a row group of a compacted file: what finding one case has to read; larger ones read no faster."""
T = TypeVar("T")


def rows_folder(audit: Path, probe: str) -> Path:
    """Where the rows of `probe` lie in an audit's folder."""
    return audit / "rows" / probe.replace("/", "__")


def row_parts(audit: Path, probe: str) -> list[Path]:
    """Parts of a probe's rows, oldest first; a row may stand in two of them, of which the first counts."""
    return sorted(rows_folder(audit, probe).glob("part-*.parquet"))


def each_part(audit: Path, probe: str, read: Callable[[Path], T]) -> list[T]:
    """What `read` makes of every part, oldest first. All of it is read again where a compaction took a part away."""
    while True:
        parts = row_parts(audit, probe)
        try:
            return [read(part) for part in parts]
        except FileNotFoundError as error:
            if row_parts(audit, probe) == parts:  # a link to nowhere
                raise _damaged(rows_folder(audit, probe), error) from error


def read_rows(audit: Path, probe: str, columns: list[str] | None = None) -> pd.DataFrame:
    """Rows of `probe` in the order written, one per case; no plug-in is needed; an empty frame when there are none.

    Parts that another version wrote may lack some of `columns`, which are then empty in their rows. Raises AuditError
    naming a damaged part, or a column that no part has.
    """
    parts = each_part(audit, probe, lambda path: _read_part(path, columns))
    if not parts:
        return pd.DataFrame(columns=columns or ["case_id", "status", "error"])
    frame = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
    del parts  # of a million rows no copy is kept that nobody asks for
    if lacking := [name for name in columns or () if name not in frame]:
        raise _of_another_version(rows_folder(audit, probe), lacking)
    again = frame["case_id"].duplicated()
    return frame[~again].reset_index(drop=True) if again.any() else frame


def count_rows(audit: Path, probe: str) -> int:
    """How many cases of `probe` have a row, without reading anything else. Raises AuditError naming a damaged part."""
    import pyarrow
    import pyarrow.compute as pc

    ids = [chunk for table in each_part(audit, probe, _ids) for chunk in table["case_id"].chunks]
    return int(pc.count_distinct(pyarrow.chunked_array(ids)).as_py()) if ids else 0


def read_cases(audit: Path, probe: str, ids: Collection[str]) -> pd.DataFrame:
    """Rows of these cases in the order written, without reading all columns of the others; an empty frame for none.

    Raises AuditError naming a damaged part.
    """
    found = [table for table in each_part(audit, probe, lambda path: _read_cases(path, ids)) if len(table)]
    if not found:
        return pd.DataFrame(columns=["case_id", "status", "error"])
    frame = pd.concat([table.to_pandas() for table in found], ignore_index=True)
    return pd.DataFrame(frame.drop_duplicates("case_id", ignore_index=True))


class RowStore:
    """Writes the rows of one probe. A part appears whole or not at all, and is not changed but by a compaction."""

    def __init__(self, audit: Path, probe: str, schema: type[ProbeRow]) -> None:
        self.audit = audit
        self.probe = probe
        self._check = RowCheck(probe, schema)
        self._next = 0

    def append(self, rows: Iterable[RowDict]) -> None:
        """Check rows against the schema and write them as one new part. Raises AuditError on a row that breaks it."""
        table = self._check.table(list(rows))
        folder = make_folder(rows_folder(self.audit, self.probe))
        path = folder / _PART.format(self._next_part())
        write_atomic(path, lambda scratch: _write(table, scratch))
        self._next += 1

    def read(self) -> pd.DataFrame:
        """All rows so far."""
        return read_rows(self.audit, self.probe)

    def done(self) -> set[str]:
        """Ids of the cases that have a row."""
        return set(read_rows(self.audit, self.probe, ["case_id"])["case_id"])

    def _next_part(self) -> int:
        """One more than the newest, which is not looked for among thousands each time."""
        if self._next == 0 or (rows_folder(self.audit, self.probe) / _PART.format(self._next)).exists():
            parts = row_parts(self.audit, self.probe)
            self._next = int(parts[-1].stem.removeprefix("part-")) + 1 if parts else 0
        return self._next


def compact(audit: Path, probe: str) -> None:
    """Make one file of the parts of `probe`, row for row, where they are many. Only for the process that writes them.

    Killed at any moment it loses nothing; called again it goes on. Parts of different types, as an audit has that was
    begun by an older version, stay as they are; so do damaged ones, which whoever reads them names.
    """
    import pyarrow.parquet as pq

    parts = row_parts(audit, probe)
    if len(parts) < 2:
        return
    try:
        kept = _first_of_each([_ids(part) for part in parts])
        is_half_done = any(keep is not None for keep in kept)
        if len(parts) <= _FEW and not is_half_done:
            return
        if len({_types(pq.read_schema(part)) for part in parts}) > 1:
            return
        write_atomic(parts[0], lambda scratch: _write_together(parts, kept, scratch))
    except (AssayError, OSError, ValueError, KeyError):  # a full disk, too: the rows are all there
        return
    for part in reversed(parts[1:]):  # the newest first: the number of the next part is above all that are left
        part.unlink()


def _types(schema: Any) -> tuple[tuple[str, str], ...]:
    return tuple((item.name, str(item.type)) for item in schema)


def _first_of_each(ids: Sequence[Any]) -> list[Any | None]:
    """For each part which of its rows [n] no part before has; None: all."""
    import pyarrow

    again = pyarrow.concat_tables(ids)["case_id"].to_pandas().duplicated().to_numpy()
    if not again.any():
        return [None] * len(ids)
    kept, start = [], 0
    for table in ids:
        kept.append(pyarrow.array(~again[start : start + len(table)]))
        start += len(table)
    return kept


def _write_together(parts: Sequence[Path], kept: Sequence[Any | None], path: Path) -> None:
    """The rows of all parts in row groups of `_GROUP`; no more of them is in memory than one group and one part."""
    import pyarrow
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, pq.read_schema(parts[0])) as writer:
        waiting: list[Any] = []
        for part, keep in zip(parts, kept, strict=True):
            table = pq.read_table(part)
            waiting.append(table if keep is None else table.filter(keep))
            if sum(map(len, waiting)) >= _GROUP:
                together = pyarrow.concat_tables(waiting)
                whole = len(together) // _GROUP * _GROUP
                writer.write_table(together.slice(0, whole), row_group_size=_GROUP)
                waiting = [together.slice(whole)]
        if any(map(len, waiting)):
            writer.write_table(pyarrow.concat_tables(waiting), row_group_size=_GROUP)


def _write(table: Any, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path)


def _ids(path: Path) -> Any:
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, columns=["case_id"]).select(["case_id"])
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError) as error:
        if "case_id" not in _names(path, error):
            raise _of_another_version(path, ["case_id"]) from error
        raise _damaged(path, error) from error


def _read_cases(path: Path, ids: Collection[str]) -> Any:
    import pyarrow
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    wanted = pyarrow.array(list(ids), pyarrow.string())
    here = _ids(path)["case_id"]
    places = pc.indices_nonzero(pc.is_in(here.cast(pyarrow.string()), value_set=wanted)).to_pylist()
    try:
        with pq.ParquetFile(path) as file:
            found, start = [file.schema_arrow.empty_table()], 0
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                if mine := [place - start for place in places if start <= place < end]:
                    found.append(file.read_row_group(group).take(mine))
                start = end
            return pyarrow.concat_tables(found)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _read_part(path: Path, columns: list[str] | None) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # a damaged file is pyarrow.ArrowInvalid, a ValueError
        names = _names(path, error)
        if columns is None or set(columns) <= set(names):
            raise _damaged(path, error) from error
        frame = pd.read_parquet(path, columns=[name for name in columns if name in names])
    if "case_id" not in frame:
        raise _of_another_version(path, ["case_id"])
    return frame


def _names(path: Path, error: Exception) -> list[str]:
    """Columns of a part that could not be read for this reason. Raises AuditError where the whole part is damaged."""
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(path).names)
    except FileNotFoundError:
        raise
    except (OSError, ValueError):
        raise _damaged(path, error) from error


def _of_another_version(path: Path, lacking: Sequence[str]) -> AuditError:
    return AuditError(
        f"{path}: its rows have no column {', '.join(map(repr, lacking))}, so another version of the probe wrote them; "
        "read them with that version, or audit the checkpoint again"
    )


def _damaged(path: Path, error: Exception) -> AuditError:
    return AuditError(f"{path}: damaged rows ({error}); delete this part and run `assay resume`")
