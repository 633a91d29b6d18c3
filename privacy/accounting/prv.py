"""Numerical composition of the privacy random variable, with both ends of its bound.

Source: Gopi, Lee & Wutschitz 2021 (arXiv 2106.02848), by Opacus' building blocks. Opacus' own accountant returns the
upper end alone, and its variable is that of removing the record. Which direction is worse after composition is proven
nowhere (Lebeda et al. 2024, arXiv 2405.20769), so that of adding is composed as well and the larger bound counts.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Literal

import numpy as np

from privacy.accounting.accountant import failure, rounding_noise
from privacy.accounting.errors import AccountingError, NotApplicableError
from privacy.accounting.mechanism import Mechanism
from privacy.accounting.rdp import rdp_scale

Direction = Literal["remove", "add"]
"""What tells the neighbours apart, as seen from the data set with the record."""

EPSILON_ERROR = 0.01
"""Opacus' default: how far the upper end may lie above the truth."""

_FINEST = 0.001
_POINTS_FOR_FINER = 2**21
"""The grid is made finer than EPSILON_ERROR asks while it keeps below this."""
_MOST_POINTS = 2**22
"""Above this the grid is made coarser; about half a gibibyte."""
_COARSEST = 0.5
_MOST_LOSS = 700.0
"""exp of it still fits a double."""


class PrvGrid:
    """Grid on which the privacy loss of a record is composed: its half-width and its mesh, by remark 5.6.

    `more` are other mechanisms that the same record was in, composed with the first.
    """

    def __init__(self, mechanism: Mechanism, delta: float, more: tuple[Mechanism, ...] = ()) -> None:
        self.mechanism, self.delta = mechanism, delta
        self.mechanisms = (mechanism, *more)
        if any(each.max_batch is not None for each in self.mechanisms):
            raise NotApplicableError("prv", "batches with a cap", "pld")
        if any(each.bins > 1 for each in self.mechanisms):
            raise NotApplicableError("prv", "balls in bins", "pld")
        self.compositions = sum(each.compositions for each in self.mechanisms)
        self.noise = sum(rounding_noise(each, delta, "prv") for each in self.mechanisms)
        self.delta_error = delta / 1000 + self.noise
        """What truncation may move delta by; with the noise of rounding in it, so that both ends bound that too."""

    @cached_property
    def width(self) -> float:
        """Loss beyond which no more than delta_error lies, composed or single."""
        m, error = self.mechanism, self.delta_error
        once = [Mechanism(each.noise_multiplier, each.rate, 1) for each in self.mechanisms]
        single = max(rdp_scale((each,), error / (8 * self.compositions)) for each in once)
        width = 3 + max(rdp_scale(self.mechanisms, error / 4), single, _COARSEST)
        if width > _MOST_LOSS:
            raise AccountingError(
                f"the PRV accountant cannot hold the privacy loss of noise multiplier {m.noise_multiplier:g}, rate "
                f"{m.rate:g}, {self.compositions} compositions (up to {width:.3g}); add noise or choose rdp"
            )
        return width

    def points(self, epsilon_error: float) -> float:
        """Points that this error needs."""
        return 2 * self.width * self._mesh_inverse() / epsilon_error

    def least_error(self) -> float:
        """Error that takes as many points as there may be."""
        return self.points(1.0) / _MOST_POINTS

    def error(self) -> float:
        """Error of epsilon to compute with: EPSILON_ERROR, or less where that is cheap, or more where it must be."""
        finer = max(_FINEST, self.points(1.0) / _POINTS_FOR_FINER)
        error = max(min(EPSILON_ERROR, finer), self.least_error())
        if error > _COARSEST:
            raise AccountingError(
                f"the PRV accountant needs {self.points(_COARSEST):.2g} points for {self.compositions} "
                f"compositions at noise multiplier {self.mechanism.noise_multiplier:g}; add noise or choose pld or rdp"
            )
        return error

    def domain(self, epsilon_error: float) -> Any:
        """Opacus' domain, at least this wide, of a length that Fourier transforms like."""
        from opacus.accountants.analysis.prv import Domain
        from scipy.fft import next_fast_len

        mesh = epsilon_error / self._mesh_inverse()
        half = next_fast_len(math.ceil(self.width / mesh) + 1, real=True)
        edge = (half - 1.5) * mesh  # halfway between two points, so that rounding cannot add one
        return Domain.create_aligned(-edge, edge, mesh)

    def _mesh_inverse(self) -> float:
        return math.sqrt(self.compositions * math.log(12 / self.delta_error) / 2)


def prv_bounds(
    mechanism: Mechanism,
    delta: float,
    epsilon_error: float | None = None,
    more: tuple[Mechanism, ...] = (),
    directions: tuple[Direction, ...] = ("remove", "add"),
) -> tuple[float, float, float]:
    """Lower end, estimate and upper end of epsilon, of a record; `epsilon_error` None: see PrvGrid.error.

    `more`: other mechanisms that the record was in. `directions`: the largest of these counts. Raises AccountingError
    where delta is too small for it, the loss too large, or the grid too coarse.
    """
    grid = PrvGrid(mechanism, delta, more)
    error = grid.error() if epsilon_error is None else epsilon_error
    symmetric = not any(each.amplified for each in grid.mechanisms)
    every = [_ends(grid, error, each) for each in (directions[:1] if symmetric else directions)]
    lower, estimate, upper = (max(ends) for ends in zip(*every, strict=True))
    return lower, estimate, upper


def _ends(grid: PrvGrid, error: float, direction: Direction) -> tuple[float, float, float]:
    failed: Exception | None = None
    for attempt in (error, error / 3):  # "discrete mean differs" is cured by a finer grid, when it is
        if failed is not None and grid.points(attempt) > 2 * _MOST_POINTS:
            break
        try:
            lower, estimate, upper = _composed(grid, attempt, direction).compute_epsilon(
                grid.delta, grid.delta_error, attempt
            )
        except (ValueError, RuntimeError, ArithmeticError, IndexError, MemoryError) as caught:
            failed = caught
            continue
        if all(math.isfinite(value) for value in (lower, estimate, upper)):
            return max(0.0, float(lower)), max(0.0, float(estimate)), max(0.0, float(upper))
        failed = ArithmeticError(f"epsilon came out as {upper}")
    raise failure("prv", grid.mechanism, failed or ArithmeticError("no grid fits"))


def _composed(grid: PrvGrid, epsilon_error: float, direction: Direction) -> Any:
    from opacus.accountants.analysis.prv import TruncatedPrivacyRandomVariable, compose_heterogeneous, discretize

    domain = grid.domain(epsilon_error)
    with np.errstate(all="ignore"):  # log(1 - rate) at rate 1; what is not finite is refused later
        losses = [
            TruncatedPrivacyRandomVariable(_loss_of(each, direction), domain.t_min, domain.t_max)
            for each in grid.mechanisms
        ]
        counts = [int(each.compositions) for each in grid.mechanisms]
        return compose_heterogeneous([discretize(loss, domain) for loss in losses], counts)


class _Adding:
    """Privacy loss of adding the record: log(Q / P) under Q, with P the mixture (1 - q) N(0, s^2) + q N(1, s^2)."""

    def __init__(self, rate: float, noise_multiplier: float) -> None:
        self._rate, self._sigma = rate, noise_multiplier

    def cdf(self, t: Any) -> Any:
        """Chance of a loss of at most t: the loss falls in x, and is below -log(1 - q) for every x."""
        from scipy.special import erfc

        q, sigma = self._rate, self._sigma
        above = np.exp(-np.asarray(t)) - (1 - q)
        x = sigma**2 * np.log(np.where(above > 0, above, 1.0) / q) + 0.5
        return np.where(above > 0, erfc(x / (sigma * math.sqrt(2))) / 2, 1.0)


def _loss_of(mechanism: Mechanism, direction: Direction) -> Any:
    """The privacy random variable, not computed where its distribution is 0 or 1 to the last digit."""
    from opacus.accountants.analysis.prv import PoissonSubsampledGaussianPRV

    q, sigma = mechanism.rate, mechanism.noise_multiplier
    variable = PoissonSubsampledGaussianPRV(q, sigma) if direction == "remove" else _Adding(q, sigma)
    far = 6.5 * math.sqrt(2)  # standard deviations; erfc(6.5) is below 1e-19
    low, high = (
        np.logaddexp(math.log1p(-q) if q < 1 else -math.inf, math.log(q) + z)
        for z in ((-far * sigma - 0.5) / sigma**2, (far * sigma + 0.5) / sigma**2)
    )
    if direction == "add":
        low, high = -high, -low

    class Windowed:
        def cdf(self, t: Any) -> Any:
            times = np.asarray(t)
            if times.ndim == 0:
                return variable.cdf(t)
            start, stop = np.searchsorted(times, [low, high])
            out = np.zeros(times.shape)
            out[stop:] = 1.0
            out[start:stop] = variable.cdf(times[start:stop])
            return out

    return Windowed()
