"""CSV for a spreadsheet, which runs a cell that begins like a formula: texts of rows are a stranger's."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20\u2212\ufe62\ufe63\ufe66\ufe6b"
"""What a formula begins with, also in full width and as other keyboards write it."""
_FORMULA = re.compile(f"[\\s\"'`\u200b-\u200f\u2060\ufeff\0]*[{_SIGNS}]|[\t\r\n]")
"""Behind spaces, quotes and signs that do not show as well."""
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


def inert(text: str) -> str:
    """`text` with an apostrophe before it where a spreadsheet would run it; numbers and other texts as they are."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def csv_text(frame: pd.DataFrame, *, header: bool = True) -> str:
    """`frame` as CSV without its index, its columns' names first where `header`; every text and name in it inert.

    Numbers stay numbers. Lines end in CR LF, so that a lone CR in a text is quoted too and ends no record.
    """
    safe = pd.DataFrame({index: _column(frame.iloc[:, index]) for index in range(frame.shape[1])}, index=frame.index)
    safe.columns = pd.Index([inert(str(name)) for name in frame.columns])
    return safe.to_csv(index=False, header=header, lineterminator="\r\n")


def _column(column: Any) -> Any:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return column
    return column.astype(object).map(lambda value: inert(value) if isinstance(value, str) else value)
