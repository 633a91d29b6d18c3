"""Rows of one probe a page at a time, filtered and sorted by DuckDB over the parquet parts."""

from dashboards.rows.export import csv_bytes, parquet_bytes
from dashboards.rows.parts import PartKey, column_names, parts_key, quoted
from dashboards.rows.query import CELL, CHOICES, CUT, PAGE, SHORT, RowFilter, Rows, frame, open_rows, pages

__all__ = [
    "CELL",
    "CHOICES",
    "CUT",
    "PAGE",
    "SHORT",
    "PartKey",
    "RowFilter",
    "Rows",
    "column_names",
    "csv_bytes",
    "frame",
    "open_rows",
    "pages",
    "parquet_bytes",
    "parts_key",
    "quoted",
]
