"""What an interval says as a test, at other levels and for many gates at once; pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import betainc, ndtr, ndtri

from harness.metrics import Metric
from harness.policy import Correction
from harness.stats import Interval, clopper_pearson, wilson

_EXACT = {"Wilson": wilson, "Clopper-Pearson": clopper_pearson}


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

    Of a share they are computed again from its counts; otherwise each end moves in proportion to the normal
    quantile (what Altman & Bland 2011 do to get a p value from an interval).
    """
    if level == metric.level or metric.value is None:
        return metric.low, metric.high
    exact = _share_interval(metric, level)
    if exact is not None:
        return exact.low, exact.high
    factor = float(ndtri((1 + level) / 2) / ndtri((1 + metric.level) / 2))
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
    if counts is not None and metric.interval == "Clopper-Pearson":
        hits, n = counts
        return 0.0 if bound < 0 else 1.0 if bound >= 1 or hits == 0 else float(betainc(hits, n - hits + 1, bound))
    if counts is not None:
        return _score_p(metric.value, counts[1], bound)
    return _scaled_p(metric.value - bound, metric.value - metric.low, metric.level, bound < metric.low)


def _p_below(metric: Metric, bound: float) -> float:
    if bound == float("-inf") or metric.high is None or metric.value is None:
        return 1.0
    counts = _counts(metric)
    if counts is not None and metric.interval == "Clopper-Pearson":
        hits, n = counts
        return 0.0 if bound > 1 else 1.0 if bound <= 0 or hits == n else float(betainc(n - hits, hits + 1, 1 - bound))
    if counts is not None:
        return _score_p(1 - metric.value, counts[1], 1 - bound)
    return _scaled_p(bound - metric.value, metric.high - metric.value, metric.level, bound > metric.high)


def _score_p(share: float, n: int, bound: float) -> float:
    """The p of "the share is at most `bound`" by the score test that Wilson's interval inverts."""
    if not 0 < bound < 1:
        return 1.0 if bound >= 1 or (bound == 0 and share == 0) else 0.0
    return float(ndtr((bound - share) * np.sqrt(n / (bound * (1 - bound)))))


def _scaled_p(distance: float, half: float, level: float, beyond: bool) -> float:
    if half <= 0:  # an end on (or past) the value says nothing about spread
        return 0.0 if beyond else 1.0
    return float(ndtr(-distance / half * ndtri((1 + level) / 2)))


def _counts(metric: Metric) -> tuple[int, int] | None:
    """Hits and n of a share whose interval was computed from them."""
    if metric.interval not in _EXACT or metric.value is None or not 0 <= metric.value <= 1 or metric.n == 0:
        return None
    hits = round(metric.value * metric.n)
    if abs(hits - metric.value * metric.n) > 1e-6 * metric.n:
        return None
    same = _EXACT[metric.interval](hits, metric.n, metric.level)
    as_saved = all(
        end is not None and abs(end - own) < 1e-9 for end, own in ((metric.low, same.low), (metric.high, same.high))
    )
    return (hits, metric.n) if as_saved else None


def _share_interval(metric: Metric, level: float) -> Interval | None:
    counts = _counts(metric)
    return None if counts is None else _EXACT[metric.interval](*counts, level)
