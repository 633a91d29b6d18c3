"""Typed columns (parquet, the hub, JSON) as text: one documented form for each type.

Text is itself; a whole number its digits; a float its shortest form that reads back as the same (`1.0`, `2.5`,
`1e-05`), in its own width; a boolean true or false; a date or a time its ISO 8601 form; a decimal its digits. A missing
value stays missing, and so does a float that is no number. Bytes are no text and are refused; so are lists and
structures but in a column that holds lists by its schema, where they are JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from harness.base.limits import DATA_COLUMNS, DATA_ITEMS, DATA_MEMORY, DATA_ROWS, UNPACKED_BYTES, capped, to_raise
from harness.data.values import is_listed, is_plain, list_text, plain_text, unpacked_bytes
from harness.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Column = list[str | None]
_BATCH = 8192
"""Rows that are unpacked at once."""


class TableError(DataError):
    """What is wrong with a data file, and in which line (from 1; 0 where it has none)."""

    def __init__(self, why: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {why}" if line else why)


def parquet_table(
    file: IO[bytes], wanted: Collection[str], lists: Collection[str] = ()
) -> tuple[tuple[str, ...], dict[str, Column], int]:
    """Names of all columns, values of those wanted, and the number of rows. Raises TableError.

    Columns of `lists` may hold lists. Text is read as a dictionary and indices, so that one long text that is repeated
    a million times stays one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        plain = pq.ParquetFile(file, memory_map=False)
        names = plain.schema_arrow.names
        found = [name for name in names if name in wanted]
        paths = _check_footer(plain, found, lists)
        reader = pq.ParquetFile(file, memory_map=False, read_dictionary=paths)
        arrays = reader.iter_batches(_BATCH, columns=found, use_threads=False)
        return tuple(names), *_collect(arrays, found, reader.metadata.num_rows, lists)
    except (pa.ArrowException, OSError, MemoryError, OverflowError, ValueError) as error:
        raise TableError(f"cannot be read as parquet ({' '.join(str(error).split())[:200]})") from error


def parquet_batches(
    file: IO[bytes], wanted: Collection[str], rows: int
) -> Iterator[tuple[tuple[str, ...], dict[str, Column], int]]:
    """The same, `rows` at a time; memory is bounded by the file's own row groups. Raises TableError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        reader = pq.ParquetFile(file, memory_map=False)
        names = tuple(reader.schema_arrow.names)
        found = [name for name in names if name in wanted]
        _check_columns(reader.schema_arrow, found)
        seen = 0
        for batch in reader.iter_batches(rows, columns=found, use_threads=False):
            columns = {name: _texts(array, name, seen)[0] for name, array in zip(found, batch.columns, strict=True)}
            yield names, columns, batch.num_rows
            seen += batch.num_rows
        if not seen:
            yield names, {name: [] for name in found}, 0
    except (pa.ArrowException, OSError, MemoryError, OverflowError, ValueError) as error:
        raise TableError(f"cannot be read as parquet ({' '.join(str(error).split())[:200]})") from error


def arrow_table(
    table: pa.Table, wanted: Collection[str], lists: Collection[str] = ()
) -> tuple[tuple[str, ...], dict[str, Column], int]:
    """The same of a table in memory."""
    _check_columns(table.schema, [name for name in table.schema.names if name in wanted], lists)
    found = [name for name in table.schema.names if name in wanted]
    return tuple(table.schema.names), *_collect(table.select(found).to_batches(_BATCH), found, table.num_rows, lists)


def _check_footer(reader: Any, found: Sequence[str], lists: Collection[str]) -> list[str]:
    """Paths of the columns `found` and of what they hold. Raises TableError for a file that is too large."""
    meta = reader.metadata
    if meta.num_rows > capped(DATA_ROWS):
        raise TableError(f"{meta.num_rows:,} rows, over the cap of {capped(DATA_ROWS):,}; {to_raise()}")
    _check_columns(reader.schema_arrow, found, lists)
    paths: dict[str, None] = {}
    size, items = 0, 0
    for group in range(meta.num_row_groups):
        row_group = meta.row_group(group)
        for at in range(row_group.num_columns):
            column = row_group.column(at)
            path = column.path_in_schema
            if path in found or path.partition(".")[0] in found:
                size += column.total_uncompressed_size
                items += column.num_values if path not in found else 0
                paths[path] = None
    if items > capped(DATA_ITEMS):
        raise TableError(f"its lists hold {items:,} items, over the cap of {capped(DATA_ITEMS):,}; {to_raise()}")
    if size > capped(UNPACKED_BYTES):
        raise TableError(f"unpacks to {size >> 20:,} MiB, over the cap of {capped(UNPACKED_BYTES) >> 20}; {to_raise()}")
    return list(paths)


def _check_columns(schema: pa.Schema, found: Sequence[str], lists: Collection[str] = ()) -> None:
    """Refuses what has no text before any of it is unpacked."""
    import pyarrow.types as types

    if len(schema.names) > capped(DATA_COLUMNS):
        raise TableError(f"{len(schema.names):,} columns, over the cap of {capped(DATA_COLUMNS):,}; {to_raise()}")
    if len(set(found)) != len(found):
        raise TableError(f"the column {next(name for name in found if found.count(name) > 1)!r} is there twice")
    for name in found:
        kind = schema.field(name).type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        if not is_plain(kind) and not (name in lists and is_listed(kind)):
            needed = "text or a list of such" if name in lists else "text"
            raise TableError(
                f"column {name!r}: holds {' '.join(str(kind).split())[:100]} where {needed} is needed; write out as "
                "text what the model is to read"
            )


def _collect(
    batches: Iterable[pa.RecordBatch], names: Sequence[str], rows: int, lists: Collection[str] = ()
) -> tuple[dict[str, Column], int]:
    columns: dict[str, Column] = {name: [] for name in names}
    memory, characters, read = 0, 0, 0
    for batch in batches:
        for name, array in zip(names, batch.columns, strict=True):
            values, weight = _texts(array, name, len(columns[name]), name in lists)
            columns[name] += values
            memory += weight
            characters += sum(len(value) for value in values if value is not None)
        read += batch.num_rows
        if memory > capped(DATA_MEMORY) or characters > capped(UNPACKED_BYTES):
            raise TableError(f"its text takes more than {capped(UNPACKED_BYTES) >> 20} MiB; {to_raise()}")
        if read > capped(DATA_ROWS):
            raise TableError(f"more than {capped(DATA_ROWS):,} rows; {to_raise()}")
    if names and read != rows:
        raise TableError(f"holds {read:,} rows, its footer says {rows:,}; the file is damaged")
    return columns, rows


def _texts(array: Any, name: str, before: int, may_be_lists: bool = False) -> tuple[Column, int]:
    """Values of an array as text, and the memory they take."""
    import pyarrow as pa

    try:
        if may_be_lists and is_listed(array.type):
            if unpacked_bytes(array) > capped(DATA_MEMORY):
                raise ValueError(f"its lists take more than {capped(DATA_MEMORY) >> 20} MiB of memory; {to_raise()}")
            values = [list_text(value) for value in array.to_pylist()]
            return values, sum(map(sys.getsizeof, values))
        if isinstance(array, pa.DictionaryArray):
            used = array.indices.drop_null().unique()  # the dictionary is that of many batches, and can be huge
            entries = {
                at: plain_text(value)
                for at, value in zip(used.to_pylist(), array.dictionary.take(used).to_pylist(), strict=True)
            }
            weight = sum(map(sys.getsizeof, entries.values()))
            return [None if at is None else entries[at] for at in array.indices.to_pylist()], weight
        if pa.types.is_float16(array.type) or pa.types.is_float32(array.type):  # 0.1, not 0.10000000149011612
            known = array.is_valid().to_pylist()
            numbers = array.to_numpy(zero_copy_only=False)
            values = [plain_text(value) if valid else None for value, valid in zip(numbers, known, strict=True)]
        else:
            values = [plain_text(value) for value in array.to_pylist()]
    except UnicodeDecodeError as error:
        raise TableError(f"column {name!r}: not UTF-8, after row {before}; convert it") from error
    except ValueError as error:
        raise TableError(f"column {name!r}: {error} (after row {before})") from error
    return values, sum(map(sys.getsizeof, values))
