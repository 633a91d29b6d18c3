"""How much worse a candidate is than its baseline, by the rows of both; pure functions of numbers.

A regression is positive where the candidate is worse. With two outcomes per row only the pairs that differ tell:
`worse` of n pairs became wrong, `better` became right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, ndtr, ndtri

from harness.stats import FloatArray, Interval, Statistic, resampled

POWER = 0.8
"""Share of audits in which the smallest detectable regression would be found."""
_STEPS = 60


@dataclass(frozen=True, slots=True)
class Regression:
    """An estimated regression.

    Attributes:
        value: the estimate.
        interval: of it, two-sided.
        p: one-sided, of "the regression is at most the margin".
        detectable: smallest true regression that would show as above the margin in `POWER` of all audits.
    """

    value: float
    interval: Interval
    p: float
    detectable: float


def mcnemar(worse: int, better: int) -> float:
    """Exact one-sided p of "no worse": P(X >= worse), X ~ Binomial(worse + better, 1/2) (McNemar 1947; sign test)."""
    return float(betainc(worse, better + 1, 0.5)) if worse else 1.0


def tango_z(worse: int, better: int, n: int, margin: float) -> float:
    """Score statistic of "the difference of two paired shares is `margin`" (Tango 1998); 0 where it is 0 / 0."""
    a = 2 * n
    b = -worse - better + (2 * n - worse + better) * margin
    c = -better * margin * (1 - margin)
    constrained = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = n * (2 * constrained + margin * (1 - margin))
    distance = worse - better - n * margin
    if variance <= 0 or distance == 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def flip_regression(worse: int, better: int, n: int, *, margin: float = 0.0, level: float = 0.95) -> Regression:
    """Regression of a share by `worse` and `better` of n > 0 pairs, against a margin >= 0.

    The interval is Tango's; an end lies beyond 0 only if the exact test of McNemar says so too, so that few
    differing pairs cannot show a change. Raises ValueError for counts that are none.
    """
    if min(worse, better) < 0 or not 0 < n >= worse + better or margin < 0:
        raise ValueError(f"not counts of pairs: {worse} worse and {better} better of {n}, margin {margin}")
    tail = (1 - level) / 2
    z = float(-ndtri(tail))
    value = (worse - better) / n
    low, high = _tango_end(worse, better, n, z, value, -1.0), _tango_end(worse, better, n, -z, value, 1.0)
    if mcnemar(worse, better) > tail:
        low = min(low, 0.0)
    if mcnemar(better, worse) > tail:
        high = max(high, 0.0)
    p = max(float(ndtr(-tango_z(worse, better, n, margin))), mcnemar(worse, better))
    interval = Interval(low, high, "McNemar exact and Tango score", level)
    return Regression(value, interval, p, _detectable_flips((worse + better) / n, n, margin, z))


def drawn_regression(
    statistic: Statistic, n: int, *, margin: float, level: float = 0.95, draws: int = 10_000
) -> Regression | None:
    """Regression by a bootstrap over n paired units; None where `stats.resampled` gives None.

    Args:
        statistic: maps weights [draws, n] to regressions [draws].
        n: paired units: rows, or clusters of rows.
        margin: allowed regression, >= 0.
        level: of the percentile interval.
        draws: of the bootstrap; p is at least 1 / (draws + 1).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(np.ones((1, n)))[0])
    values = resampled(statistic, n, draws=draws)
    if values is None or not math.isfinite(value):
        return None
    return from_draws(value, values, margin=margin, level=level, method=f"paired bootstrap, percentile, {draws} draws")


def from_draws(value: float, values: FloatArray, *, margin: float, level: float, method: str) -> Regression:
    """Regression from its bootstrap draws [m]; an interval by percentiles, made to hold `value`."""
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    p = (1 + int((values <= margin).sum())) / (1 + len(values))
    reach = float(-ndtri(tail) + ndtri(POWER)) * float(values.std())
    interval = Interval(min(float(low), value), max(float(high), value), method, level)
    return Regression(value, interval, p, margin + reach)


def _tango_end(worse: int, better: int, n: int, z: float, value: float, end: float) -> float:
    """The difference farthest from `value` towards `end` that the score test does not reject; bisection."""
    inside, outside = value, end
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        score = tango_z(worse, better, n, middle)
        if (score <= z) if z > 0 else (score >= z):
            inside = middle
        else:
            outside = middle
    return outside


def _detectable_flips(differing: float, n: int, margin: float, z: float) -> float:
    """Smallest regression found with `POWER`, at this share of differing pairs or as many as it needs (Connor 1987)."""
    beta = float(ndtri(POWER))
    low, high = margin, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        share = max(differing, middle)
        spread = z * math.sqrt(max(share - margin * margin, 0.0)) + beta * math.sqrt(max(share - middle * middle, 0.0))
        if (middle - margin) * math.sqrt(n) >= spread:
            high = middle
        else:
            low = middle
    return high
