"""Rows of others that can be measured together: made under one setting, by one kind of model."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def unlike(rows: pd.DataFrame, *columns: str) -> Mapping[str, pd.Series[bool]]:
    """For `contradictions`: rows whose value in one of these columns is not the first row's."""
    found = {}
    for name in columns:
        values = rows[name]
        first = values.iloc[0] if len(values) else None
        why = f"another {name} than the first row ({first}), under which numbers are not the same"
        found[why] = (values != first).astype(bool)
    return found
