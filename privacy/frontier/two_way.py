"""Intervals of a mean over seeds and examples: both are samples, and each value belongs to one of either.

The model is y[s, i] = mu + seed[s] + example[i] + e[s, i], all effects random (Searle, Casella & McCulloch 1992,
chapter 4). With S seeds and n examples the mean's variance is seed/S + example/n + e/(S n). The sum of the squared
standard errors of both one-way layouts, MS_seed/(S n) + MS_example/(S n), estimates it with one e/(S n) too many: never
too small on average. Degrees of freedom by Satterthwaite (1946). A bootstrap over three seeds would be far too narrow.
In simulations 95 % intervals hold 94.5 to 99 % with three seeds or more; with two, as little as 92.7 % where seeds and
examples weigh the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from harness.stats import FloatArray, Interval, Method

ONE_SEED = "one seed: says nothing about other seeds"
METHOD = Method.TWO_WAY
METHOD_ONE_SEED = Method.ONE_SEED


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean; `interval` is None where there are too few values for one."""

    value: float
    interval: Interval | None
    note: str = ""
    freedom: float | None = None
    """Degrees of freedom of the t quantile."""


@dataclass(frozen=True, slots=True)
class _Variance:
    """A part of the mean's variance, estimated on so many degrees of freedom."""

    value: float
    freedom: int


def two_way(values: ArrayLike, level: float = 0.95) -> Estimate:
    """The mean of `values` [seeds, examples]. Raises ValueError unless each seed has every example, all finite."""
    table = _table(values)
    seeds = [] if len(table) == 1 else [_of_means(table.mean(axis=1))]
    return _estimate(float(table.mean()), seeds, table.mean(axis=0), level)


def two_way_difference(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> Estimate:
    """Mean of `first` less that of `second`, [seeds, examples] each: the same examples, other seeds.

    Raises ValueError as `two_way`, and where the examples are not as many.
    """
    ours, theirs = _table(first), _table(second)
    if ours.shape[1] != theirs.shape[1]:
        raise ValueError(f"{ours.shape[1]} and {theirs.shape[1]} examples: they must be the same ones")
    both = len(ours) > 1 and len(theirs) > 1
    seeds = [_of_means(table.mean(axis=1)) for table in (ours, theirs)] if both else []
    return _estimate(float(ours.mean() - theirs.mean()), seeds, ours.mean(axis=0) - theirs.mean(axis=0), level)


def _table(values: ArrayLike) -> FloatArray:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError(f"not a full table of seeds by examples: shape {table.shape}")
    return table


def _of_means(means: FloatArray) -> _Variance:
    """Variance of the mean of independent `means`: MS / (S n), whichever margin they are."""
    return _Variance(float(means.var(ddof=1)) / len(means), len(means) - 1)


def _estimate(value: float, seeds: list[_Variance], by_example: FloatArray, level: float) -> Estimate:
    note = "" if seeds else ONE_SEED
    if len(by_example) < 2:
        return Estimate(value, None, "one example: no interval")
    parts = [*seeds, _of_means(by_example)]
    variance = sum(part.value for part in parts)
    method = METHOD if seeds else METHOD_ONE_SEED
    if variance == 0:
        return Estimate(value, Interval(value, value, method, level), note)
    freedom = variance**2 / sum(part.value**2 / part.freedom for part in parts)
    half = float(stdtrit(freedom, (1 + level) / 2)) * math.sqrt(variance)
    return Estimate(value, Interval(value - half, value + half, method, level), note, freedom)
