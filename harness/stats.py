"""Interval estimates; pure functions of numbers. Nothing here knows what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtri

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray], FloatArray]
"""Maps weights [draws, n] (how often each row was drawn) to values [draws]; NaN where a draw leaves it undefined."""

_CELLS = 1 << 22
"""Weights held at once, 32 MiB; bounds memory whatever n and the number of draws."""
_UNDEFINED_SHARE = 0.05
"""Above this share of undefined draws, quantiles of the rest would describe another distribution."""
_POINTS_ONLY: ContextVar[bool] = ContextVar("points_only", default=False)


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided confidence interval with the name of its method and its level."""

    low: float
    high: float
    method: str
    level: float = 0.95


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Score interval of a proportion (Wilson 1927, without continuity correction); [0, 1] when n is 0.

    Coverage is near `level` on average but not guaranteed. Raises ValueError unless 0 <= successes <= n.
    """
    _check_counts(successes, n, level)
    if n == 0:
        return Interval(0.0, 1.0, "Wilson", level)
    share = successes / n
    z2 = _z(level) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return _around(share, centre - half, centre + half, "Wilson", level)


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Exact interval of a proportion (Clopper & Pearson 1934), coverage at least `level`; [0, 1] when n is 0.

    Raises ValueError unless 0 <= successes <= n.
    """
    _check_counts(successes, n, level)
    tail = (1 - level) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return _around(successes / n if n else 0.5, low, high, "Clopper-Pearson", level)


def bootstrap(
    statistic: Statistic,
    n: int,
    *,
    clusters: ArrayLike | None = None,
    seed: int = 0,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval | None:
    """Percentile bootstrap (Efron 1979) of a statistic of n rows; with `clusters` [n], whole clusters are drawn.

    None when fewer than 2 rows (or clusters) exist or more than 5 % of the draws leave the statistic undefined.
    The resamples depend on the seed alone, not on how they are chunked. Raises ValueError for misshapen clusters.
    """
    _check_level(level)
    defined = None if _POINTS_ONLY.get() else resampled(statistic, n, clusters=clusters, seed=seed, draws=draws)
    if defined is None:
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    name = f"{'' if clusters is None else 'cluster '}bootstrap, percentile, {draws} draws"
    return Interval(float(low), float(high), name, level)


def resampled(
    statistic: Statistic, n: int, *, clusters: ArrayLike | None = None, seed: int = 0, draws: int = 2000
) -> FloatArray | None:
    """The draws behind `bootstrap` where the statistic is defined, [<= draws]; None where `bootstrap` gives None."""
    cluster_of = _cluster_index(clusters, n)
    units = n if cluster_of is None else int(cluster_of.max(initial=-1)) + 1
    if units < 2:
        return None
    values = np.concatenate([_values(statistic, weights) for weights in _weights(units, n, cluster_of, seed, draws)])
    defined = values[np.isfinite(values)]
    return defined if len(defined) >= (1 - _UNDEFINED_SHARE) * draws else None


@contextmanager
def points_only() -> Iterator[None]:
    """Inside, `bootstrap` gives None at once: for callers who resample rows themselves and want values alone."""
    token = _POINTS_ONLY.set(True)
    try:
        yield
    finally:
        _POINTS_ONLY.reset(token)


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
    name = "Hoeffding-KL U-statistic"
    if k == 0:
        return Interval(0.0, 1.0, name, level)
    reach = math.log(2 / (1 - level)) / k
    return _around(value, _kl_end(value, 0.0, reach), _kl_end(value, 1.0, reach), name, level)


def _weights(units: int, n: int, cluster_of: NDArray[np.int64] | None, seed: int, draws: int) -> Iterator[FloatArray]:
    """Weights [some draws, n] of successive chunks: how often each row (its cluster) is among `units` picks."""
    rng = np.random.default_rng(seed)
    chunk = max(1, _CELLS // max(n, units))
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        picks = rng.integers(0, units, size=(size, units)) + units * np.arange(size)[:, None]
        counts = np.bincount(picks.ravel(), minlength=size * units).reshape(size, units).astype(np.float64)
        yield counts if cluster_of is None else counts[:, cluster_of]


def _values(statistic: Statistic, weights: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):  # 0/0 is how a statistic says that a draw is undefined
        values = np.asarray(statistic(weights), dtype=np.float64)
    if values.shape != weights.shape[:1]:
        raise ValueError(f"the statistic gave shape {values.shape} for {len(weights)} draws")
    return values


def _cluster_index(clusters: ArrayLike | None, n: int) -> NDArray[np.int64] | None:
    """Cluster number of each row, [n], numbered from 0 in sorted order of the labels."""
    if clusters is None:
        return None
    labels = np.asarray(clusters)
    if labels.shape != (n,):
        raise ValueError(f"cluster labels of shape {labels.shape} for {n} rows")
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


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


def _z(level: float) -> float:
    return float(ndtri((1 + level) / 2))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not {level}")


def _check_counts(successes: int, n: int, level: float) -> None:
    _check_level(level)
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} is not a proportion")
