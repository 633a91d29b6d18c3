"""Intervals of means and ratios of sums over independent units, and of their differences between paired units.

One idea serves all: weigh the units by a Dirichlet(1, ..., 1) draw (the Bayesian bootstrap, Rubin 1981) in which one
more unit takes part that lies as far out as a unit can. For a mean of values in [a, b] that is Gaffke's bound (2005;
Learned-Miller & Thomas 2019): for 0 and 1 it is Clopper-Pearson, it never has width zero, and no distribution is known
whose coverage falls below the level. Where values have no bound no interval holds for every distribution (Bahadur &
Savage 1956): the outermost unit is then extrapolated from the data, and only if they are enough to have seen a tail
that is `RAREST` of the units.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.api.metrics import RowValues
from harness.stats.intervals import FloatArray, Interval, Method

DRAWS = 10_000
RAREST = 0.02
"""A tail rarer than this can hide from an interval of unbounded values, however wide: it is named in the docs."""
_UNITS = 5000
"""More units are drawn in random groups: their variance differs from the units' by about 1 %."""
_CELLS = 1 << 22
"""Weights held at once, 32 MiB; bounds memory whatever the units and draws."""


def fewest_units(level: float) -> int:
    """Units that show a tail of `RAREST` with a confidence of (1 + level) / 2; 183 at 95 %."""
    return math.ceil(math.log((1 - level) / 2) / math.log(1 - RAREST))


def unit_sums(columns: FloatArray, clusters: NDArray[np.object_] | None) -> FloatArray:
    """What each independent unit adds, [units, columns], of columns [columns, rows]; a cluster of rows is one unit."""
    if clusters is None:
        return np.ascontiguousarray(columns.T)
    codes, names = pd.factorize(clusters, sort=True)
    return np.stack([np.bincount(codes, column, len(names)) for column in columns], axis=1)


def ratio_interval(
    units: FloatArray, values: RowValues, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Interval | None:
    """Interval of sum(above) / sum(below), finished, over `units` [k, 2]; units without `below` count nowhere.

    `values` has the bounds, the finish, and whether units are clusters. None without units, or where no end is known.
    """
    units = units[units[:, 1] != 0]
    if not len(units):
        return None
    ratio = float(units[:, 0].sum() / units[:, 1].sum())
    (low, low_size), (high, high_size) = (_outermost(units, ratio, values.bounds[side], side, level) for side in (0, 1))
    if math.isinf(low) and math.isinf(high):
        return None
    totals, extra = exponential_sums(units, draws, seed)
    ends = []
    for end, size, tail in ((low, low_size, (1 - level) / 2), (high, high_size, (1 + level) / 2)):
        drawn = (totals[:, 0] + extra * end * size) / (totals[:, 1] + extra * size)
        ends.append(end if math.isinf(end) else float(np.quantile(drawn, tail)))
    bounded = all(math.isfinite(bound) for bound in values.bounds)
    name = Method.GAFFKE if bounded else Method.TAIL
    low, high = (_finished(values, value) for value in (min(ends[0], ratio), max(ends[1], ratio)))
    return Interval(low, high, f"{name}, {'' if values.clusters is None else 'clusters, '}{draws} draws", level)


def sums_interval(
    units: FloatArray,
    statistic: Callable[[FloatArray], FloatArray],
    farthest: tuple[FloatArray, FloatArray] | None = None,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
) -> Interval:
    """Interval of a function of sums over units [n, columns], n > 0, such as a correlation.

    Args:
        units: what each adds to the sums.
        statistic: sums [k, columns], of any scale, to numbers [k]; NaN where there is none.
        farthest: the units [columns] that would make it smallest and largest, one of which may have gone unseen; by
            default those of the units here that would if they came once more.
        level: of confidence.
        draws: of weights.
    """
    whole = units.sum(axis=0)
    if farthest is None:
        moved = np.nan_to_num(statistic(whole + units), nan=float(statistic(whole[None])[0]))
        farthest = (units[int(moved.argmin())], units[int(moved.argmax())])
    totals, extra = exponential_sums(units, draws)
    tails = ((1 - level) / 2, (1 + level) / 2)
    low, high = (
        float(np.nanquantile(statistic(totals + extra[:, None] * unit), tail))
        for unit, tail in zip(farthest, tails, strict=True)
    )
    value = float(statistic(whole[None])[0])
    return Interval(min(low, value), max(high, value), f"{Method.OF_SUMS}, {draws} draws", level)


def paired_draws(
    units: FloatArray, bounds: tuple[float, float], *, level: float, draws: int, seed: int = 0
) -> list[FloatArray] | None:
    """Quotients of two audits over draws of paired `units` [k, 4] (above of both, below of both): [draws, 2] each.

    One array for each way in which the unseen unit may lie farthest out: the interval is between the least lower and
    the largest upper quantile. None where the units cannot bound it.
    """
    if len(units) < 2:
        return None
    above, below = units[:, :2], units[:, 2:]
    if (below.sum(axis=0) == 0).any():
        return None
    ratios = above.sum(axis=0) / below.sum(axis=0)
    if all(math.isfinite(bound) for bound in bounds):
        sizes = below.max(axis=0)
        corners = [(first, second) for first in bounds for second in bounds]
    else:
        sizes = below.mean(axis=0)
        reach = _paired_reach((above - ratios * below) / sizes, level)
        if reach is None:
            return None
        corners = [(ratios[0] + far, ratios[1]) for far in reach]
    totals, extra = exponential_sums(units, draws, seed)
    out = []
    for corner in corners:
        size = extra[:, None] * sizes
        out.append((totals[:, :2] + size * np.asarray(corner)) / (totals[:, 2:] + size))
    return out


def exponential_sums(units: FloatArray, draws: int, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Sums of `units` [k, columns] under exponential weights, [draws, columns], and the weight of one more unit."""
    rng = np.random.default_rng(seed)
    if len(units) > _UNITS:
        starts = np.linspace(0, len(units), _UNITS, endpoint=False).astype(np.int64)
        units = np.add.reduceat(units[rng.permutation(len(units))], starts, axis=0)
    extra = rng.standard_exponential(draws)
    chunk = max(1, _CELLS // len(units))
    sums = [
        rng.standard_exponential((min(chunk, draws - start), len(units))) @ units for start in range(0, draws, chunk)
    ]
    return np.concatenate(sums), extra


def _outermost(units: FloatArray, ratio: float, bound: float, side: int, level: float) -> tuple[float, float]:
    """Quotient and size of the unit that may have gone unseen at this side (0: below, 1: above); inf: unknown."""
    if math.isfinite(bound):
        return bound, float(units[:, 1].max())
    size, sign = float(units[:, 1].mean()), 1.0 if side else -1.0
    influence = sign * (units[:, 0] - ratio * units[:, 1]) / size
    farthest = float(influence.max())
    if len(units) < fewest_units(level) or farthest <= 1e-12 * max(1.0, abs(ratio)):
        return sign * math.inf, size
    return ratio + 2 * sign * farthest, size  # as far again as the farthest seen


def _paired_reach(influence: FloatArray, level: float) -> tuple[float, float] | None:
    """How far an unseen pair may lie below and above the mean difference; at least as far as an audit's rows spread."""
    difference, spread = influence[:, 0] - influence[:, 1], float(influence.std(axis=0).max())
    if len(influence) < fewest_units(level) or spread == 0:
        return None
    return min(2 * float(difference.min()), -spread), max(2 * float(difference.max()), spread)


def _finished(values: RowValues, ratio: float) -> float:
    with np.errstate(over="ignore"):
        return float(ratio if values.finish is None else values.finish(np.array([ratio]))[0])
