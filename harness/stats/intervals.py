"""Interval estimates; pure functions of numbers. Nothing here knows what was measured.

`benchmarks/coverage.py` holds what error each method really has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, betaincinv, ndtri

FloatArray = NDArray[np.float64]


class Method(StrEnum):
    """Every way in which an interval is made; the first words of `Interval.method`."""

    CLOPPER_PEARSON = "Clopper-Pearson"
    BOTH_WAYS = "Clopper-Pearson, cases without a verdict counted both ways"
    GAFFKE = "Gaffke bound"
    TAIL = "Dirichlet bootstrap, tail extrapolated"
    OF_SUMS = "Dirichlet bootstrap of sums, an unseen unit at each end"
    FLIPS = "exact on flips, McNemar at 0"
    PAIRED_GAFFKE = "paired Gaffke bound"
    PAIRED_TAIL = "paired Dirichlet bootstrap, tail extrapolated"
    UNPAIRED = "both intervals, pairs not used (MOVER)"
    DIFFERENCE = "Newcombe hybrid of Clopper-Pearson"
    MACRO_F1 = "Clopper-Pearson per class (MOVER)"
    CALIBRATION = "calibration bound"
    WORST = "worst of kinds, Bonferroni"
    BOTH = "both intervals, Bonferroni"
    AUC = "Hoeffding-KL U-statistic"
    AUC_FOLDS = "DeLong within folds, variance doubled"
    ADVANTAGE = "DKW-Massart, both samples"
    MEDIAN = "order statistics, exact"
    NONCENTRAL_T = "noncentral t over words, tails allowed for"
    TWO_WAY = "t over seeds with draws over examples (MOVER)"


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided confidence interval with the name of its method and its level.

    Each side errs with half of 1 - level; an end that the data cannot bound is infinite. Raises ValueError for a method
    that is not one of `Method`, with details after a comma or without.
    """

    low: float
    high: float
    method: str
    level: float = 0.95

    def __post_init__(self) -> None:
        if not any(self.method == name or self.method.startswith(f"{name},") for name in Method):
            raise ValueError(f"unknown interval method {self.method!r}")


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Exact interval of a proportion (Clopper & Pearson 1934), coverage at least `level`; [0, 1] when n is 0.

    Raises ValueError unless 0 <= successes <= n.
    """
    _check_level(level)
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} is not a proportion")
    tail = (1 - level) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return _around(successes / n if n else 0.5, low, high, Method.CLOPPER_PEARSON, level)


def share_reach(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """How far a share reaches down and up when it is combined with others: Clopper-Pearson, or z standard errors.

    The larger of the two: near 0 and 1 the near end of Clopper-Pearson is too close for sums of several shares.
    """
    interval, share = clopper_pearson(successes, n, level), successes / n
    spread = z_of(level) * math.sqrt(share * (1 - share) / n)
    return max(share - interval.low, spread), max(interval.high - share, spread)


def z_of(level: float) -> float:
    """Normal quantile of a two-sided interval."""
    return float(ndtri((1 + level) / 2))


def auc(positives: ArrayLike, negatives: ArrayLike) -> float:
    """P(positive > negative) + P(tie) / 2 over all pairs (Mann & Whitney 1947). Raises ValueError on empty or NaN."""
    high, low = np.asarray(positives, dtype=np.float64), np.sort(np.asarray(negatives, dtype=np.float64))
    if not high.size or not low.size or np.isnan(high).any() or np.isnan(low).any():
        raise ValueError("AUC needs at least one score on each side and no NaN")
    below = np.searchsorted(low, high, side="left").sum(dtype=np.int64)
    not_above = np.searchsorted(low, high, side="right").sum(dtype=np.int64)
    return float(int(below) + int(not_above)) / (2 * high.size * low.size)


def auc_interval(value: float, positives_n: int, negatives_n: int, level: float = 0.95) -> Interval:
    """Interval of an AUC with coverage of at least `level` at any sample size and for any distributions.

    All theta with k KL(value || theta) <= ln(2 / (1 - level)), k = min of the two counts: Hoeffding's Chernoff
    bound on the mean of k independent kernels in [0, 1] holds for two-sample U-statistics (Hoeffding 1963, 5b).
    Conservative: it ignores the larger sample's surplus. Raises ValueError for a value outside [0, 1].
    """
    _check_level(level)
    if not 0 <= value <= 1 or min(positives_n, negatives_n) < 0:
        raise ValueError(f"not an AUC with its counts: {value}, {positives_n}, {negatives_n}")
    k = min(positives_n, negatives_n)
    name = Method.AUC
    if k == 0:
        return Interval(0.0, 1.0, name, level)
    reach = math.log(2 / (1 - level)) / k
    return _around(value, _kl_end(value, 0.0, reach), _kl_end(value, 1.0, reach), name, level)


def median_interval(values: ArrayLike, level: float = 0.95) -> Interval | None:
    """Of the median of values [n], by order statistics (Thompson 1936): coverage at least `level`, any distribution.

    An end is infinite where n is too small to bound it, 5 and fewer at 95 %. None without values.
    """
    _check_level(level)
    array = np.asarray(values, dtype=np.float64)
    if not array.size or np.isnan(array).any():
        return None
    ordered, n = np.sort(array), array.size
    # so many of n fair coins fall below the median no more often than the error of a side
    outside = int((bdtr(np.arange(n), n, 0.5) <= (1 - level) / 2).sum())
    low, high = (ordered[outside - 1], ordered[n - outside]) if outside else (-math.inf, math.inf)
    return Interval(float(low), float(high), Method.MEDIAN, level)


def _kl_end(value: float, end: float, reach: float) -> float:
    """The theta farthest from `value` towards `end` whose divergence from `value` is at most `reach`; bisection."""
    inside, outside = value, end
    for _ in range(60):
        middle = (inside + outside) / 2
        if _bernoulli_kl(value, middle) <= reach:
            inside = middle
        else:
            outside = middle
    return outside


def _bernoulli_kl(p: float, q: float) -> float:
    """KL(Bernoulli(p) || Bernoulli(q)) in nats, 0 log 0 = 0."""
    if (p > 0 and q <= 0) or (p < 1 and q >= 1):
        return math.inf
    left = p * math.log(p / q) if p > 0 else 0.0
    return left + ((1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0)


def _around(value: float, low: float, high: float, method: str, level: float) -> Interval:
    """The interval clipped to [0, 1] and, against rounding, to hold `value`."""
    return Interval(max(0.0, min(low, value)), min(1.0, max(high, value)), method, level)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not {level}")
