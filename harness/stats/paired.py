"""How much worse a candidate is than its baseline, by the rows of both; pure functions of numbers.

A regression is positive where the candidate is worse. With two outcomes per row only the pairs that differ tell:
`worse` of n pairs became wrong, `better` became right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincinv, ndtr, ndtri

from harness.stats.intervals import FloatArray, Interval, Method, z_of

POWER = 0.8
"""Share of audits in which the smallest detectable regression would be found."""
_STEPS = 30
_NODES = 400
"""Of the integral over quantiles; the error of a chance of 0.025 is below 1e-4."""


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


def flip_regression(worse: int, better: int, n: int, *, margin: float = 0.0, level: float = 0.95) -> Regression:
    """Regression of a share by `worse` and `better` of n > 0 pairs, against a margin >= 0.

    The interval is Gaffke's bound on a mean of -1, 0 and 1, without drawing: with flips one way only its far end is
    Clopper-Pearson's, and an end lies beyond 0 exactly if McNemar's exact test says so. No error on one side
    above (1 - level) / 2 was found (`benchmarks/coverage.py`). Raises ValueError for counts that are none.
    """
    if min(worse, better) < 0 or not 0 < n >= worse + better or margin < 0:
        raise ValueError(f"not counts of pairs: {worse} worse and {better} better of {n}, margin {margin}")
    tail = (1 - level) / 2
    value = (worse - better) / n
    low, high = -_flips_end(better, worse, n, tail), _flips_end(worse, better, n, tail)
    p = 1.0 if margin >= 1 else _at_or_above(better, worse, n, -margin)
    interval = Interval(min(low, value), max(high, value), Method.FLIPS, level)
    z = float(-ndtri(tail))
    return Regression(value, interval, min(1.0, p), _detectable_flips((worse + better) / n, n, margin, z))


def drawn_regression(
    value: float, drawn: Sequence[FloatArray], *, margin: float, level: float, method: str
) -> Regression:
    """Regression by its draws, one array for each place where an unseen pair may lie; the widest of them decides."""
    tail = (1 - level) / 2
    low = min(float(np.quantile(values, tail)) for values in drawn)
    high = max(float(np.quantile(values, 1 - tail)) for values in drawn)
    p = max((1 + int((values <= margin).sum())) / (1 + len(values)) for values in drawn)
    reach = float(-ndtri(tail) + ndtri(POWER)) * max(float(values.std()) for values in drawn)
    interval = Interval(min(low, value), max(high, value), method, level)
    return Regression(value, interval, p, margin + reach)


def unpaired_regression(
    candidate: tuple[float, float, float], baseline: tuple[float, float, float], *, margin: float, level: float
) -> Regression:
    """Regression of how bad two audits are, each (low, value, high), from their own intervals alone.

    The distances to the farther ends add up in squares (MOVER, Zou & Donner 2008). Audits of the same cases err
    the same way: the difference is surer than this says, which errs on the wide side and works for any metric.
    """
    value = candidate[1] - baseline[1]
    reach = math.hypot(*(max(point - low, high - point) for low, point, high in (candidate, baseline)))
    interval = Interval(value - reach, value + reach, Method.UNPAIRED, level)
    p = scaled_p(value - margin, reach, level)
    return Regression(value, interval, p, margin + reach * (1 + float(ndtri(POWER)) / z_of(level)))


def scaled_p(distance: float, reach: float, level: float) -> float:
    """One-sided p of a bound that lies `distance` inside the estimate, whose interval reaches `reach` that way.

    Beyond the interval's end the tail may be normal or, near a boundary, exponential: the larger p is taken.
    """
    if reach <= 0:  # an end on (or past) the value says nothing about spread
        return 1.0
    tail, ratio = (1 - level) / 2, distance / reach
    return float(max(ndtr(-ratio * z_of(level)), tail**ratio)) if ratio > 0 else 1.0


def _flips_end(worse: int, better: int, n: int, tail: float) -> float:
    """The difference that Dirichlet-weighted flips, one more of them worse, exceed in `tail` of draws; bisection."""
    value, reach = (worse - better) / n, (4 * math.sqrt(worse + better + 1) + 8) / n
    low, high = max(-1.0, value - reach), min(1.0, value + reach)
    if _at_or_above(worse, better, n, low) <= tail or _at_or_above(worse, better, n, high) > tail:
        low, high = -1.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_or_above(worse, better, n, middle) > tail else (low, middle)
    return high


def _at_or_above(worse: int, better: int, n: int, difference: float) -> float:
    """P(D_worse+1 - D_better >= difference), (D_worse+1, D_better, D_same) ~ Dirichlet(worse + 1, better, same).

    The differing share X ~ Beta and the share S of it that is worse ~ Beta are independent, and the difference is
    X (2 S - 1): integrated over the quantiles of S on the side of 1/2 that the sign of `difference` leaves open.
    """
    differing, same = worse + better + 1, n - worse - better
    up = betainc(better, worse + 1, 0.5) if better else 1.0  # P(S >= 1/2)
    if difference == 0:
        return float(up)
    positive = difference > 0
    mass = up if positive else 1 - up
    if mass <= 0:
        return 0.0 if positive else 1.0
    nodes = (np.arange(_NODES) + 0.5) / _NODES * mass
    if not better:
        distance = np.ones(1)
    elif positive:  # quantiles of 1 - S ~ Beta(better, worse + 1) below 1/2
        distance = 1 - 2 * betaincinv(better, worse + 1, nodes)
    else:
        distance = 1 - 2 * betaincinv(worse + 1, better, nodes)
    with np.errstate(divide="ignore"):
        needed = np.minimum(abs(difference) / np.maximum(distance, 0), 1.0)
    beyond = float(np.mean(betainc(same, differing, 1 - needed) if same else needed < 1))
    return float(mass * beyond if positive else up + mass * (1 - beyond))


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
