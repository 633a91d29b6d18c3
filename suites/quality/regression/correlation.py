"""Pearson's and Spearman's correlation with intervals."""

from __future__ import annotations

import numpy as np

from harness.api.means import fewest_units, sums_interval
from harness.api.scorer import Floats
from harness.stats.intervals import Interval

Correlation = tuple[float, Interval | None]


def pearson(first: Floats, second: Floats, level: float = 0.95) -> Correlation | None:
    """Of [n] and [n]; None where one of them does not vary. Without an interval where a rare outlier could hide."""
    x, y = _standard(first), _standard(second)
    if x is None or y is None:
        return None
    units = np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)
    value = float(np.clip(_of_sums(units.sum(axis=0)[None])[0], -1, 1))
    return value, sums_interval(units, _of_sums, level=level) if len(x) >= fewest_units(level) else None


def spearman(first: Floats, second: Floats, level: float = 0.95) -> Correlation | None:
    """Pearson's of the ranks, mean ranks among equals; the interval takes the ranks as they are."""
    from scipy.stats import rankdata

    return pearson(rankdata(first), rankdata(second), level)


def _standard(values: Floats) -> Floats | None:
    """Mean 0, variance 1; None where all are equal, whose deviation rounding may put above 0."""
    if not np.ptp(values) > 0:
        return None
    centred = (values - values.mean()) / np.ptp(values)  # so that no square over- or underflows
    return np.asarray(centred / centred.std())


def _of_sums(sums: Floats) -> Floats:
    """[k] of sums [k, 6]: 1, x, y, xx, yy, xy."""
    n, x, y, xx, yy, xy = sums.T
    spread = (xx * n - x * x) * (yy * n - y * y)
    return np.asarray(
        np.divide(xy * n - x * y, np.sqrt(np.maximum(spread, 0)), out=np.full(len(n), np.nan), where=spread > 0)
    )
