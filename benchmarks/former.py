"""Interval methods that Assay used before, as the other side of `coverage`; two published tables still use them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from harness.stats.intervals import FloatArray

Statistic = Callable[[FloatArray], FloatArray]
"""Maps weights [draws, n] (how often each row was drawn) to values [draws]."""
Ends = tuple[float, float]


def wilson(successes: int, n: int, level: float = 0.95) -> Ends:
    """Score interval of a proportion (Wilson 1927), n > 0."""
    share, z2 = successes / n, float(ndtri((1 + level) / 2)) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def percentile(statistic: Statistic, n: int, *, seed: int = 0, draws: int = 2000, level: float = 0.95) -> Ends | None:
    """Percentile bootstrap of a statistic of n rows; None where more than 5 % of the draws leave it undefined."""
    if n < 2:
        return None
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(statistic(counts), dtype=np.float64)
    defined = values[np.isfinite(values)]
    if len(defined) < 0.95 * draws:
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
