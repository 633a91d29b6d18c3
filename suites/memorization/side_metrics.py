"""Shares of the windows of texts and of a control, and their difference, however windows of one text hang together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.api.declared import Computed, Named, Rows, equal, of
from harness.api.estimates import UNIT, estimate
from harness.api.metrics import Better, Metric, RowValues
from harness.stats.differences import difference
from harness.stats.intervals import share_reach
from suites.memorization.sides import CONTROL, TEXTS

Integers = NDArray[np.int64]
NO_WINDOW = "no window of this side was scored"


def of_side(side: str) -> dict[str, Any]:
    """What a metric of a side's windows is declared with; those of one text are not independent."""
    return {
        "over": equal("side", side),
        "clusters": of(clusters, "document"),
        "note": lambda rows: _dependence(rows.counted),
        "empty": NO_WINDOW,
    }


def minus_control(key: str, column: str) -> Computed:
    """The share of texts of which a column is true less that of the control."""
    return Computed((Named(key, Better.LOWER, unit="rate", bounds=(-1.0, 1.0)),), partial(_difference, column))


def _difference(column: str, rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    (mine,) = named.values()
    texts, control = (rows.good[rows.good["side"] == side] for side in (TEXTS, CONTROL))
    if texts.empty or control.empty:
        yield mine.none("texts and control are both needed", missing=rows.missing)
        return
    value = float(texts[column].mean()) - float(control[column].mean())
    (first, n), (second, m) = (_reach(side, column) for side in (texts, control))
    yield mine.value(value, difference(value, first, second), min(n, m), missing=rows.missing, note=_dependence(texts))


def _reach(rows: pd.DataFrame, column: str) -> tuple[tuple[float, float], int]:
    """How far the share of a side reaches down and up, and its n; over documents the farther end both ways."""
    found = clusters(rows["document"])
    if found is None:
        return share_reach(int(rows[column].sum()), len(rows)), len(rows)
    values = RowValues(rows[column].to_numpy(np.float64), clusters=found, bounds=UNIT)
    metric, value = estimate("share", values, better=Better.LOWER), float(rows[column].mean())
    farther = max(value - (metric.low or 0.0), (1.0 if metric.high is None else metric.high) - value)
    return (farther, farther), metric.n


def clusters(documents: pd.Series[int]) -> Integers | None:
    """Documents of windows [n], where whole ones can be drawn and hold more than a window; else windows are drawn."""
    found = np.asarray(documents, dtype=np.int64)
    return found if 1 < len(np.unique(found)) < len(found) else None


def _dependence(rows: pd.DataFrame) -> str:
    """A caution where windows are not independent draws."""
    documents = rows["document"].nunique()
    if documents == len(rows):
        return ""
    return f"{len(rows)} windows of {documents} text{'s' if documents > 1 else ''}; windows of one text are related"
