"""Rows of others that can be measured together: made under one setting, by one kind of model."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def unlike(rows: pd.DataFrame, *columns: str, within: str = "") -> Mapping[str, pd.Series[bool]]:
    """For `contradictions`: rows whose value in one of these columns is not the first row's.

    `within`: a column; rows are held against the first that has the same value there.
    """
    found: dict[str, pd.Series[bool]] = {}
    parts = rows[within] if within else pd.Series("", index=rows.index)
    for name in columns:
        for part in dict.fromkeys(parts):
            mine = parts == part
            first = rows.loc[mine, name].iloc[0]
            of = f" of {within} {part}" if within else ""
            why = f"another {name} than the first row{of} ({first or 'not said'}), under which numbers are not the same"
            found[why] = (mine & (rows[name] != first)).astype(bool)
    return found
