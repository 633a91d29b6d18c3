"""What an interval says as a test, at other levels and for many gates at once; pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import betainc

from harness.api.metrics import Metric
from harness.gate.policy import Correction
from harness.stats.intervals import Interval, Method, clopper_pearson, z_of
from harness.stats.paired import scaled_p


def corrected(p: Sequence[float], alphas: Sequence[float], method: Correction) -> list[float]:
    """The p values to compare with `alphas`, each corrected for all of them; order as given.

    Holm's (1979) step-down keeps the chance of any false block at or below the largest alpha, whatever depends on
    what; Benjamini & Hochberg's (1995) step-up keeps the expected share of false ones among the blocks there, for
    tests that are independent or positively dependent. Where alphas differ, p / alpha is what is ranked.
    """
    if method is Correction.NONE or not p:
        return list(p)
    ratio = np.asarray(p, dtype=np.float64) / np.asarray(alphas, dtype=np.float64)
    order = np.argsort(ratio, kind="stable")
    m = len(p)
    if method is Correction.HOLM:
        adjusted = np.maximum.accumulate(ratio[order] * np.arange(m, 0, -1))
    else:
        adjusted = np.minimum.accumulate((ratio[order] * m / np.arange(1, m + 1))[::-1])[::-1]
    out = np.empty(m)
    out[order] = adjusted
    return [min(1.0, float(value)) for value in out * np.asarray(alphas, dtype=np.float64)]


def interval_at(metric: Metric, level: float) -> tuple[float | None, float | None]:
    """Both ends of a metric's interval at another level.

    Of a share they are computed again from its counts; otherwise each end moves in proportion to the normal quantile
    (what Altman & Bland 2011 do to get a p value from an interval) or to the logarithm of the tail, as next to a
    boundary it does, whichever takes it farther.
    """
    if level == metric.level or metric.value is None:
        return metric.low, metric.high
    exact = _share_interval(metric, level)
    if exact is not None:
        return exact.low, exact.high
    tails = np.log((1 - level) / 2) / np.log((1 - metric.level) / 2)
    factor = float(max(z_of(level) / z_of(metric.level), tails))
    ends = (None if end is None else metric.value + factor * (end - metric.value) for end in (metric.low, metric.high))
    low, high = ends
    return low, high


def p_value(metric: Metric, lowest: float, highest: float) -> float:
    """One-sided p of "lowest <= the metric <= highest": at most (1 - level) / 2 where the interval lies beyond."""
    return min(_p_above(metric, highest), _p_below(metric, lowest))


def _p_above(metric: Metric, bound: float) -> float:
    """The p of "the metric is at most `bound`", by how often its lower half of the interval fits in between."""
    if bound == float("inf") or metric.low is None or metric.value is None:
        return 1.0
    counts = _counts(metric)
    if counts is not None:
        hits, n = counts
        return 0.0 if bound < 0 else 1.0 if bound >= 1 or hits == 0 else float(betainc(hits, n - hits + 1, bound))
    return scaled_p(metric.value - bound, metric.value - metric.low, metric.level)


def _p_below(metric: Metric, bound: float) -> float:
    if bound == float("-inf") or metric.high is None or metric.value is None:
        return 1.0
    counts = _counts(metric)
    if counts is not None:
        hits, n = counts
        return 0.0 if bound > 1 else 1.0 if bound <= 0 or hits == n else float(betainc(n - hits, hits + 1, 1 - bound))
    return scaled_p(bound - metric.value, metric.high - metric.value, metric.level)


def _counts(metric: Metric) -> tuple[int, int] | None:
    """Hits and n of a share whose interval was computed from them."""
    if metric.interval != Method.CLOPPER_PEARSON or metric.value is None or not 0 <= metric.value <= 1 or metric.n == 0:
        return None
    hits = round(metric.value * metric.n)
    if abs(hits - metric.value * metric.n) > 1e-6 * metric.n:
        return None
    same = clopper_pearson(hits, metric.n, metric.level)
    as_saved = all(
        end is not None and abs(end - own) < 1e-9 for end, own in ((metric.low, same.low), (metric.high, same.high))
    )
    return (hits, metric.n) if as_saved else None


def _share_interval(metric: Metric, level: float) -> Interval | None:
    counts = _counts(metric)
    return None if counts is None else clopper_pearson(*counts, level)
