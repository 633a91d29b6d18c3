"""Epsilon and delta by other means than the accountants': formulas, and integrals on a fine grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import logsumexp
from scipy.stats import binom, norm

Direction = Literal["remove", "add"]
Floats = npt.NDArray[np.float64]


def gaussian_delta(sigma: float, epsilon: float) -> float:
    """Exact delta of the Gaussian mechanism of sensitivity 1 (Balle & Wang 2018, theorem 8)."""
    half = 1 / (2 * sigma)
    return float(norm.cdf(half - epsilon * sigma) - math.exp(epsilon) * norm.cdf(-half - epsilon * sigma))


def gaussian_epsilon(sigma: float, delta: float) -> float:
    """Its inverse; 0 where sigma alone gives delta."""
    if gaussian_delta(sigma, 0.0) <= delta:
        return 0.0
    return float(brentq(lambda epsilon: gaussian_delta(sigma, epsilon) - delta, 0.0, 300.0, xtol=1e-12))


def log_ratio(x: Floats, sigma: float, chances: Sequence[float]) -> Floats:
    """Log density ratio of the noisy sum with and without a unit, j of whose records come with chance `chances[j]`."""
    drawn = np.arange(len(chances))
    weights = np.log(np.maximum(chances, 1e-300))
    return np.asarray(logsumexp(weights + (np.outer(x, drawn) - drawn**2 / 2) / sigma**2, axis=1))


def divergence(sigma: float, chances: Sequence[float], epsilon: float, direction: Direction) -> float:
    """Delta at epsilon of one composition: the hockey-stick divergence, summed on a grid."""
    x = np.linspace(-12 * sigma, 12 * sigma + len(chances), 60_001)
    without = norm.pdf(x, scale=sigma)
    with_unit = without * np.exp(log_ratio(x, sigma, chances))
    one, other = (with_unit, without) if direction == "remove" else (without, with_unit)
    return float(np.sum(np.maximum(0.0, one - math.exp(epsilon) * other)) * (x[1] - x[0]))


def divergence_twice(
    sigma: float, q: float, epsilon: float, direction: Direction, then: tuple[float, float] | None = None
) -> float:
    """Delta at epsilon of two compositions: outer sum over the first output, the second by its closed form.

    `then`: sigma and q of the second, where they are others.
    """
    x = np.linspace(-12 * sigma, 12 * sigma + 1, 40_001)
    loss = log_ratio(x, sigma, [1 - q, q])
    without = norm.pdf(x, scale=sigma)
    with_unit = without * np.exp(loss)
    sigma, q = then or (sigma, q)
    # the second output counts where it tips both losses together over epsilon
    rest = epsilon - loss if direction == "remove" else -epsilon - loss
    inner = np.exp(np.minimum(rest, 700)) - (1 - q)
    border = np.where(inner > 0, sigma**2 * np.log(np.maximum(inner, 1e-300) / q) + 0.5, -np.inf)
    if direction == "remove":
        one = with_unit * ((1 - q) * norm.sf(border, scale=sigma) + q * norm.sf(border - 1, scale=sigma))
        other = without * norm.sf(border, scale=sigma)
    else:
        one = without * norm.cdf(border, scale=sigma)
        other = with_unit * ((1 - q) * norm.cdf(border, scale=sigma) + q * norm.cdf(border - 1, scale=sigma))
    return float(np.sum(one - math.exp(epsilon) * other) * (x[1] - x[0]))


def record(q: float) -> list[float]:
    """Chances of a record."""
    return [1 - q, q]


def user(group: int, q: float) -> list[float]:
    """Chances of 0, 1, ... `group` records of a user."""
    return [float(chance) for chance in binom.pmf(np.arange(group + 1), group, q)]
