"""Intervals of a mean over seeds and examples: both are samples, and each value belongs to one of either.

The model is y[s, i] = mu + seed[s] + example[i] + e[s, i], all effects random (Searle, Casella & McCulloch 1992,
chapter 4). How far the mean may be off on account of the seeds is a t interval over the seeds' means, on account of the
examples one over the examples' means (`harness.api.means`); the squares add up (MOVER, Zou & Donner 2008). Both have e
in them, once too often: never too narrow. A bootstrap over three seeds would be far too narrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from harness.api.means import DRAWS, ratio_interval
from harness.api.metrics import RowValues
from harness.stats.intervals import FloatArray, Interval, Method

ONE_SEED = "one seed: says nothing about other seeds"
FEW = "too few examples, or all alike: no interval"
ONE_EXAMPLE = "one example: no interval"
ANY = (-math.inf, math.inf)
_SKEWED = 0.6
"""Share of the error that t is given: the means of a few seeds are skewed near 1, where t errs in 1.6 times as many."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean; `interval` is None where there are too few values for one."""

    value: float
    interval: Interval | None
    note: str = ""


def two_way(
    values: ArrayLike, level: float = 0.95, bounds: tuple[float, float] = ANY, *, draws: int = DRAWS
) -> Estimate:
    """The mean of `values` [seeds, examples], all within `bounds`.

    Raises ValueError unless each seed has every example, all finite.
    """
    table = _table(values)
    return _estimate(float(table.mean()), [table], table.mean(axis=0), level, bounds, draws)


def two_way_difference(
    first: ArrayLike, second: ArrayLike, level: float = 0.95, bounds: tuple[float, float] = ANY
) -> Estimate:
    """Mean of `first` less that of `second`, [seeds, examples] each: the same examples, other seeds.

    `bounds` are those of a difference. Raises ValueError as `two_way`, and where the examples are not as many.
    """
    ours, theirs = _table(first), _table(second)
    if ours.shape[1] != theirs.shape[1]:
        raise ValueError(f"{ours.shape[1]} and {theirs.shape[1]} examples: they must be the same ones")
    by_example = ours.mean(axis=0) - theirs.mean(axis=0)
    return _estimate(float(ours.mean() - theirs.mean()), [ours, theirs], by_example, level, bounds, DRAWS)


def _table(values: ArrayLike) -> FloatArray:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError(f"not a full table of seeds by examples: shape {table.shape}")
    return table


def _estimate(
    value: float,
    tables: list[FloatArray],
    by_example: FloatArray,
    level: float,
    bounds: tuple[float, float],
    draws: int,
) -> Estimate:
    if len(by_example) < 2:
        return Estimate(value, None, ONE_EXAMPLE)
    units = np.stack([by_example, np.ones(len(by_example))], axis=1)
    examples = ratio_interval(units, RowValues([], bounds=bounds), level=level, draws=draws)
    if examples is None or math.isinf(examples.low) or math.isinf(examples.high):
        return Estimate(value, None, FEW)
    seeds = min(len(table) for table in tables)
    if seeds == 1:
        return Estimate(value, examples, ONE_SEED)
    variance = sum(float(table.mean(axis=1).var(ddof=1)) / len(table) for table in tables)
    reach = float(stdtrit(seeds - 1, 1 - _SKEWED * (1 - level) / 2)) * math.sqrt(variance)
    low = max(bounds[0], value - math.hypot(value - examples.low, reach))
    high = min(bounds[1], value + math.hypot(examples.high - value, reach))
    return Estimate(value, Interval(low, high, Method.TWO_WAY, level))
