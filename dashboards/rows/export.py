"""Filtered rows to take away: CSV for a spreadsheet, parquet for everything else."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from dashboards.rows.query import RowFilter, Rows, frame
from harness.base.csv_cells import csv_text
from harness.errors import AuditError

MOST = 100_000
"""Rows of one CSV: what a spreadsheet opens and a browser takes at once; parquet has no limit."""
BYTES = 250_000_000
"""Of one file: it is made in memory, and Streamlit keeps it there."""
_ALL = 2**62


def csv_bytes(rows: Rows, wanted: RowFilter) -> bytes:
    """The first `MOST` of the selected rows as CSV, UTF-8, nested values as JSON; no cell of it is a formula."""
    out = io.BytesIO()
    for number, batch in enumerate(rows.batches(wanted, MOST)):
        _bound(out.tell() + batch.nbytes)
        text = csv_text(frame(pa.Table.from_batches([batch])), header=number == 0)
        out.write(text.encode(errors="surrogatepass"))
    return out.getvalue() or csv_text(rows.page(wanted, 1)).encode(errors="surrogatepass")


def parquet_bytes(rows: Rows, wanted: RowFilter) -> bytes:
    """All selected rows as parquet, compressed."""
    out = io.BytesIO()
    writer: pq.ParquetWriter | None = None
    for batch in rows.batches(wanted, _ALL):
        _bound(out.tell())
        writer = writer or pq.ParquetWriter(out, batch.schema, compression="zstd")
        writer.write_batch(batch)
    if writer is None:
        pq.write_table(pa.table({name: pa.nulls(0) for name in rows.columns}), out)
    else:
        writer.close()
    return out.getvalue()


def _bound(size: int) -> None:
    """Raises AuditError where a file of so many bytes is too large to be made."""
    if size > BYTES:
        raise AuditError(f"a file of these rows is over {BYTES // 10**6} MB; filter them, or copy their folder")
