"""The highest ROC that a training's own accounting allows, to be drawn beside a measured one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import UsageError
from privacy.accounting import Mechanism
from privacy.accounting.pld import pld_deltas

Floats = NDArray[np.float64]
_STEPS = 1000
"""Epsilons tried, evenly; each gives a valid ceiling, more of them only a lower one (measured: within 0.001)."""
_LOWEST_DELTA = 1e-7
"""Small beside any true-positive rate that is drawn, and large beside the rounding of millions of compositions."""


def true_positive_ceiling(mechanisms: Sequence[Mechanism], false_positive_rates: ArrayLike) -> Floats:
    """Highest true-positive rates [k] that any attack reaches at false-positive rates [k] in [0, 1].

    For every epsilon with its delta of all mechanisms together: TPR <= e^eps FPR + delta, and
    1 - TPR >= e^-eps (1 - delta - FPR); the least over epsilon (Kairouz, Oh & Viswanath 2015, theorem 2.1). Raises
    UsageError for rates that are none, and AccountingError where the accountant fails.
    """
    false = np.asarray(false_positive_rates, dtype=np.float64)
    if not ((false >= 0) & (false <= 1)).all():
        raise UsageError("a false-positive rate lies outside 0 to 1; give shares")
    if any(each.noise_multiplier == 0 and each.compositions for each in mechanisms):
        return np.ones_like(false)
    epsilons, deltas = pld_deltas([each for each in mechanisms if each.compositions], _LOWEST_DELTA, _STEPS)
    growth = np.exp(np.minimum(epsilons, 700.0))[:, None]
    straight = growth * false[None, :] + deltas[:, None]
    mirrored = 1 - (1 - deltas[:, None] - false[None, :]) / growth
    return np.asarray(np.minimum(1.0, np.minimum(straight, mirrored).min(axis=0)), dtype=np.float64)
