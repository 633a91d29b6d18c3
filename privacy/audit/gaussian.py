"""The Gaussian mechanism at distance mu: N(0, 1) against N(mu, 1) (Dong, Roth & Su 2019)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

Floats = NDArray[np.float64]


def gaussian_delta(mu: float, epsilon: float) -> float:
    """Delta of the mechanism at epsilon (Balle & Wang 2018, theorem 8, for noise 1 / mu)."""
    if mu == 0:
        return 0.0
    second = epsilon + float(log_ndtr(-mu / 2 - epsilon / mu))  # together: exp(epsilon) alone overflows
    return float(ndtr(mu / 2 - epsilon / mu)) - math.exp(second)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Epsilon of the mechanism at delta; 0 where the noise alone gives delta, infinite at delta 0."""
    if gaussian_delta(mu, 0.0) <= delta:
        return 0.0
    if delta == 0:
        return math.inf
    high = 1.0
    while gaussian_delta(mu, high) > delta:
        high *= 2
    from scipy.optimize import brentq

    return float(brentq(lambda epsilon: gaussian_delta(mu, epsilon) - delta, 0.0, high, xtol=1e-12))


def least_false(true: Floats, mu: Floats) -> Floats:
    """Least false-positive rate that allows a true-positive rate: Phi(Phi^-1(true) - mu), elementwise."""
    return np.asarray(ndtr(ndtri(true) - mu), dtype=np.float64)
