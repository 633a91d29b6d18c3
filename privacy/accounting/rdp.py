"""Rényi accounting: looser than the numerical accountants, and never at a loss.

Sources: RDP of the sampled Gaussian, Mironov et al. 2019 (arXiv 1908.10530), section 3.3 at whole orders, and Opacus'
series at broken ones; conversion to (epsilon, delta), Balle et al. 2020 (arXiv 1905.09982), theorem 21.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from privacy.accounting.bins import bins_renyi
from privacy.accounting.mechanism import Mechanism
from privacy.accounting.truncated import SampledGaussian, parts_of

Floats = npt.NDArray[np.float64]

_WHOLE = (*range(2, 64), *(64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 640, 768, 1024))
_WIDER = (1536, 2048, 3072, 4096, 8192, 16384, 32768, 65536)
_BROKEN_BELOW = 12
"""Where the best whole order is below this, broken orders beside it are tried as well."""
_LARGE = 30.0


@dataclass(frozen=True, slots=True)
class RenyiCurve:
    """Rényi divergence of the composed mechanism at each order."""

    orders: Floats
    divergences: Floats

    def epsilons(self, log_delta: float) -> Floats:
        """Epsilon that each order proves at exp(log_delta)."""
        gap = self.orders - 1
        proven = self.divergences + np.log1p(-1 / self.orders) - (log_delta + np.log(self.orders)) / gap
        return np.maximum(0.0, proven)

    def log_delta(self, epsilon: float) -> float:
        """Log of the smallest delta that some order proves at epsilon."""
        gap = self.orders - 1
        return float(np.min(gap * (self.divergences - epsilon + np.log1p(-1 / self.orders)) - np.log(self.orders)))

    def with_orders(self, orders: Floats, divergences: Floats) -> RenyiCurve:
        """Both together, by order; what is not finite and non-negative is left out."""
        every, values = np.append(self.orders, orders), np.append(self.divergences, divergences)
        kept = np.isfinite(values) & (values >= 0)
        rank = np.argsort(every[kept])
        return RenyiCurve(every[kept][rank], values[kept][rank])


def rdp_upper(mechanism: Mechanism, delta: float, *, broken: bool = True) -> float:
    """Epsilon at most, of a record. Orders are widened where the best one lies at an edge."""
    curve = renyi_curve(mechanism, math.log(delta), broken=broken)
    return float(np.min(curve.epsilons(math.log(delta)), initial=math.inf))


def rdp_scale(mechanisms: tuple[Mechanism, ...], delta: float) -> float:
    """The same of all of them, to size a grid by: without the broken orders, which take long, unless epsilon is large.

    That is looser, never smaller, and a wider grid is as good.
    """
    if len(mechanisms) > 1:
        return composed_upper(mechanisms, delta)
    scale = rdp_upper(mechanisms[0], delta, broken=False)
    return scale if scale < _LARGE else rdp_upper(mechanisms[0], delta)


def composed_upper(mechanisms: tuple[Mechanism, ...], delta: float) -> float:
    """Epsilon at most, of a record that all the mechanisms read."""
    curve = composed_curve(mechanisms, math.log(delta))
    return float(np.min(curve.epsilons(math.log(delta)), initial=math.inf))


def composed_curve(mechanisms: tuple[Mechanism, ...], log_delta: float) -> RenyiCurve:
    """The curve of a record that all the mechanisms read: divergences add up, order by order (Mironov 2017)."""
    orders: tuple[int, ...] = (*_WHOLE, *_WIDER)
    total = np.zeros(len(orders))
    for mechanism in mechanisms:
        if mechanism.amplified:
            total += _whole_orders(mechanism, orders)[1]
        else:
            total += mechanism.compositions / (2 * mechanism.noise_multiplier**2) * np.asarray(orders)
    curve = RenyiCurve(np.empty(0), np.empty(0)).with_orders(np.asarray(orders, dtype=np.float64), total)
    if len(curve.orders) == 0:
        return curve
    best = float(curve.orders[int(np.argmin(curve.epsilons(log_delta)))])
    return curve.with_orders(*_composed_broken(mechanisms, best)) if best < _BROKEN_BELOW else curve


def _composed_broken(mechanisms: tuple[Mechanism, ...], best: float) -> tuple[Floats, Floats]:
    orders, total = np.empty(0), np.zeros(1)
    for mechanism in mechanisms:
        at, divergences = _broken_orders(mechanism, best)
        if not mechanism.amplified:
            divergences = mechanism.compositions / (2 * mechanism.noise_multiplier**2) * at
        orders, total = at, total + divergences
    return orders, total


@lru_cache(maxsize=256)
def renyi_curve(mechanism: Mechanism, log_delta: float, *, broken: bool = True) -> RenyiCurve:
    """The curve of a record, with the orders that matter at exp(log_delta); noise and compositions above 0."""
    nothing = RenyiCurve(np.empty(0), np.empty(0))
    if not mechanism.amplified:
        return _gaussian_curve(mechanism, log_delta)
    curve = nothing.with_orders(*_whole_orders(mechanism, _WHOLE))
    if len(curve.orders) == 0:
        return curve
    best = curve.orders[int(np.argmin(curve.epsilons(log_delta)))]
    if best == _WHOLE[-1]:
        return curve.with_orders(*_whole_orders(mechanism, _WIDER))
    if broken and best < _BROKEN_BELOW:
        return curve.with_orders(*_broken_orders(mechanism, float(best)))
    return curve


def _gaussian_curve(mechanism: Mechanism, log_delta: float) -> RenyiCurve:
    slope = mechanism.compositions / (2 * mechanism.noise_multiplier**2)
    centre = math.sqrt(max(1e-300, -log_delta) / slope)  # about the best order less one
    orders = 1 + centre * np.geomspace(1e-2, 1e2, 2001)
    return RenyiCurve(orders[orders > 1], slope * orders[orders > 1])


def _whole_orders(mechanism: Mechanism, orders: tuple[int, ...]) -> tuple[Floats, Floats]:
    every = np.asarray(orders, dtype=np.float64)
    if mechanism.bins > 1:
        return every, mechanism.compositions * bins_renyi(mechanism, every)
    divergences = _worst_mixture(mechanism, every, lambda part: _sampled_gaussian(part, orders))
    # a divergence below the rounding of the sum is kept above zero
    return every, mechanism.compositions * np.maximum(divergences, 2.0**-52 / (every - 1))


def _worst_mixture(mechanism: Mechanism, orders: Floats, of: Callable[[SampledGaussian], Floats]) -> Floats:
    """Divergences of one composition whose part may be told: exp((a - 1) D) is the mean of those of its parts."""
    found = []
    for parts in parts_of(mechanism):
        terms = np.asarray([math.log(part.weight) + (orders - 1) * of(part) for part in parts])
        top = np.max(terms, axis=0)
        found.append((top + np.log(np.sum(np.exp(terms - top), axis=0))) / (orders - 1))
    return np.asarray(np.max(np.asarray(found), axis=0))


def _sampled_gaussian(part: SampledGaussian, orders: tuple[int, ...]) -> Floats:
    """E[(1 - q + q L)^a] by the binomial theorem, with E[L^i] = exp(i (i - 1) / (2 sigma^2))."""
    q, sigma = part.rate, part.noise
    if q == 1:
        return np.asarray(orders) / (2 * sigma**2)
    divergences = []
    for order in orders:
        drawn, log_choices = _log_binomials(order)
        terms = log_choices + drawn * math.log(q) + (order - drawn) * math.log1p(-q)
        terms += drawn * (drawn - 1) / (2 * sigma**2)
        top = float(np.max(terms))
        divergences.append((top + math.log(float(np.sum(np.exp(terms - top))))) / (order - 1))
    return np.asarray(divergences)


@cache
def _log_binomials(order: int) -> tuple[Floats, Floats]:
    from scipy.special import gammaln

    drawn = np.arange(order + 1, dtype=np.float64)
    return drawn, gammaln(order + 1) - gammaln(drawn + 1) - gammaln(order - drawn + 1)


def _broken_orders(mechanism: Mechanism, best: float) -> tuple[Floats, Floats]:
    below = 1 + np.geomspace(1e-3, 0.9, 14) if best == 2 else np.linspace(best - 1, best, 6)[1:-1]
    orders = np.append(below, np.linspace(best, best + 1, 6)[1:-1])
    if mechanism.bins > 1:  # as of a record whose step is known
        return orders, mechanism.compositions * orders / (2 * mechanism.noise_multiplier**2)
    return orders, mechanism.compositions * _worst_mixture(mechanism, orders, lambda part: _series(part, orders))


def _series(part: SampledGaussian, orders: Floats) -> Floats:
    """Opacus' series at each order; nan where it does not converge, the other orders stand."""
    from opacus.accountants.analysis.rdp import compute_rdp

    divergences = np.full(len(orders), math.nan)
    for index, order in enumerate(orders):
        try:
            divergences[index] = compute_rdp(q=part.rate, noise_multiplier=part.noise, steps=1, orders=float(order))
        except (ValueError, OverflowError):
            continue
    return divergences
