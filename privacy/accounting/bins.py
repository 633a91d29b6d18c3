"""Balls in bins: in each epoch every record is in one step, drawn uniformly, independently of all other records.

One epoch of T steps is bounded by P, N(e_t, s^2 I) with t uniform, against Q, N(0, s^2 I) (Chua et al. 2025, arXiv
2412.16802). Their ratio is the mean of T independent lognormal numbers under Q, and delta is the mean of a convex
function of each of them, for adding and for removing, and for any number of epochs. So moving their mass to a grid
without moving its mean can only raise delta: connect the dots (Doroshenko et al. 2022), once for each number and once
for each mean of two that is formed on the way to T. Nothing is sampled, as it was in the first paper; that the law can
be formed numerically is shown by Feldman & Shenfeld 2026 (arXiv 2602.17284).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from privacy.accounting.mechanism import Mechanism
from privacy.accounting.streams import keep_streams_open

Floats = npt.NDArray[np.float64]

_REACH = 10.5
"""Deviations of a log ratio that the grid holds, under P and under Q; the rest is counted as lost."""
_NOTHING = 1e-25
"""Mass that is cut off at either end of a grid, each time, and counted as lost."""
_PER_DEVIATION = 16
"""Points of the grid in a deviation of an epoch's loss: its variance grows by 0.1 %."""
_COARSEST = 5e-3
_MOST_POINTS = 12_000
_MOST_LOSS = 690.0
"""exp of it still fits a double."""
_ORDERS = 256
"""Orders up to this are amplified; those beyond matter only where epsilon is tiny."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of densities on a grid of its logs, by its law under Q; its mean there is 1 or, with `lost`, less."""

    low: int
    """Log of the first point, in steps."""
    masses: Floats
    """Of the points, under Q [points]."""
    zero: float
    """Mass under Q where the ratio is 0."""
    lost: float
    """Mass under P where the ratio is infinite."""


def bins_interval(mechanism: Mechanism) -> float:
    """Grid step: fine against the loss of an epoch, with few enough points."""
    sigma = mechanism.noise_multiplier
    deviation = math.sqrt(math.expm1(min(4.0, sigma**-2)) / mechanism.bins)
    return max(min(_COARSEST, deviation / _PER_DEVIATION), (2 * _REACH + 1 / sigma) / sigma / _MOST_POINTS)


def bins_losses(mechanism: Mechanism, interval: float) -> Any:
    """dp_accounting's losses of one epoch, for adding and for removing a record."""
    keep_streams_open()
    from dp_accounting.pld import pld_pmf
    from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution

    epoch = epoch_ratio(mechanism.noise_multiplier, mechanism.bins, interval)
    places = epoch.low + np.arange(len(epoch.masses))
    removing = epoch.masses * np.exp(places * interval)
    lost = max(epoch.lost, 1 - float(removing.sum()))  # what rounding took counts as lost
    zero = max(epoch.zero, 1 - float(epoch.masses.sum()))
    return PrivacyLossDistribution(
        pld_pmf.DensePLDPmf(interval, epoch.low, removing, lost, True),
        pld_pmf.DensePLDPmf(interval, -int(places[-1]), epoch.masses[::-1].copy(), zero, True),
    )


@lru_cache(maxsize=32)
def epoch_ratio(sigma: float, bins: int, interval: float) -> Ratio:
    """The mean of `bins` ratios of one step each, by doubling."""
    power, reached = _step_ratio(sigma, interval), 1
    mean: Ratio | None = None
    taken = 0
    while True:
        if bins & reached:
            mean = power if mean is None else mean_of(mean, power, taken / (taken + reached), interval)
            taken += reached
        if taken == bins:
            assert mean is not None  # bins is at least 1
            return mean
        power, reached = mean_of(power, power, 0.5, interval), 2 * reached


def mean_of(one: Ratio, other: Ratio, share: float, interval: float) -> Ratio:
    """`share` of one and the rest of the other, independent; each value is split over the two points beside it."""
    low = min(one.low, other.low) + math.floor(math.log(min(share, 1 - share)) / interval) - 1
    high = max(one.low + len(one.masses), other.low + len(other.masses))
    masses = np.zeros(high - low + 2)
    for apart in range(other.low - one.low - len(one.masses) + 1, other.low - one.low + len(other.masses)):
        # the other's log lies `apart` steps above the one's
        start = max(0, other.low - apart - one.low)
        stop = min(len(one.masses), other.low + len(other.masses) - apart - one.low)
        there = one.low + apart - other.low
        both = one.masses[start:stop] * other.masses[start + there : stop + there]
        moved = _log_mean(share, apart * interval) / interval
        _split(masses, both, one.low + start - low, moved, interval)
    if other.zero:
        _split(masses, one.masses * other.zero, one.low - low, math.log(share) / interval, interval)
    if one.zero:
        _split(masses, other.masses * one.zero, other.low - low, math.log1p(-share) / interval, interval)
    lost = share * one.lost + (1 - share) * other.lost
    return _trimmed(Ratio(low, masses, one.zero * other.zero, lost), interval)


def _log_mean(share: float, apart: float) -> float:
    """log(share + (1 - share) exp(apart))."""
    if apart > 0:
        return apart + math.log(share * math.exp(-apart) + 1 - share)
    return math.log(share + (1 - share) * math.exp(apart))


def _split(masses: Floats, moving: Floats, place: int, moved: float, interval: float) -> None:
    """Add `moving`, which begins at `place`, moved by a broken number of steps, so that no mean changes."""
    whole = math.floor(moved)
    above = math.expm1((moved - whole) * interval) / math.expm1(interval)
    start = place + whole
    masses[start : start + len(moving)] += (1 - above) * moving
    masses[start + 1 : start + 1 + len(moving)] += above * moving


def _step_ratio(sigma: float, interval: float) -> Ratio:
    """Of one step: the log is normal under Q, with mean -1 / 2 s^2 and deviation 1 / s."""
    from scipy.special import ndtr

    centre = 1 / (2 * sigma**2)
    if centre + _REACH / sigma > _MOST_LOSS:
        raise ArithmeticError(f"the loss of a step reaches {centre + _REACH / sigma:.3g}, more than a double holds")
    low = math.floor((-centre - _REACH / sigma) / interval)
    places = np.arange(low, math.ceil((centre + _REACH / sigma) / interval) + 1)
    logs = np.asarray(places * interval, dtype=np.float64)
    under_q, under_p = (logs + centre) * sigma, (logs - centre) * sigma
    mass, moment = _between(under_q), _between(under_p)
    above = np.clip((moment * np.exp(-logs[:-1]) - mass) / math.expm1(interval), 0, mass)
    masses = np.zeros(len(logs))
    masses[:-1] += mass - above
    masses[1:] += above
    # below the first point: split between it and zero; above the last: the mean that the point lacks is lost
    first = ndtr(under_p[0]) / math.exp(logs[0])
    masses[0] += first
    beyond = ndtr(-under_q[-1])
    masses[-1] += beyond
    lost = ndtr(-under_p[-1]) - beyond * math.exp(logs[-1])
    return Ratio(int(low), masses, max(0.0, float(ndtr(under_q[0]) - first)), max(0.0, float(lost)))


def _between(points: Floats) -> Floats:
    """Chances of a standard normal number between neighbouring points, each from the side where it is exact."""
    from scipy.special import ndtr

    left, right = ndtr(points[1:]) - ndtr(points[:-1]), ndtr(-points[:-1]) - ndtr(-points[1:])
    return np.asarray(np.where(points[1:] < 0, left, right), dtype=np.float64)


def _trimmed(ratio: Ratio, interval: float) -> Ratio:
    """Without the ends that hold next to nothing: the lower one split as above, the upper one lost."""
    logs = (ratio.low + np.arange(len(ratio.masses))) * interval
    moments = ratio.masses * np.exp(logs)
    start = int(np.searchsorted(np.cumsum(ratio.masses), _NOTHING))
    stop = len(moments) - int(np.searchsorted(np.cumsum(moments[::-1]), _NOTHING))
    masses = ratio.masses[start:stop].copy()
    below = float(moments[:start].sum()) / math.exp(logs[start])
    zero = ratio.zero + max(0.0, float(ratio.masses[:start].sum()) - below)
    masses[0] += below
    beyond = float(ratio.masses[stop:].sum())
    masses[-1] += beyond
    lost = max(0.0, float(moments[stop:].sum()) - beyond * math.exp(logs[stop - 1]))
    return Ratio(ratio.low + start, masses, zero, ratio.lost + lost)


def bins_renyi(mechanism: Mechanism, orders: Floats) -> Floats:
    """Divergences of an epoch at most, the larger of removing and adding, at whole orders.

    Removing: exact, E[(mean of T lognormals)^a] by power series. Adding: the mean is at least the geometric mean. Both
    are at most that of a record whose step is known.
    """
    sigma, bins = mechanism.noise_multiplier, mechanism.bins
    known = orders / (2 * sigma**2)
    adding = 1 / (2 * sigma**2) + (orders - 1) / (2 * bins * sigma**2)
    removing = known.copy()
    few = orders <= _ORDERS
    removing[few] = _removing(sigma, bins)[orders[few].astype(int)]
    return np.minimum(known, np.maximum(removing, adding))


@lru_cache(maxsize=64)
def _removing(sigma: float, bins: int) -> Floats:
    """At orders 0 to _ORDERS, nan at 0 and 1: E[S^a] / a! is the coefficient of z^a in (sum_j E[Y^j] z^j / j!)^T."""
    from scipy.special import gammaln

    every = np.arange(_ORDERS + 1, dtype=np.float64)
    power = every * (every - 1) / (2 * sigma**2) - gammaln(every + 1)
    total: Floats | None = None
    left = bins
    while left:
        if left & 1:
            total = power if total is None else _log_product(total, power)
        left >>= 1
        power = _log_product(power, power) if left else power
    assert total is not None
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((total + gammaln(every + 1) - every * math.log(bins)) / (every - 1))


def _log_product(one: Floats, other: Floats) -> Floats:
    """Logs of the coefficients of a product of two power series, from theirs."""
    from scipy.special import logsumexp

    return np.asarray([logsumexp(one[: place + 1] + other[place::-1]) for place in range(len(one))])
