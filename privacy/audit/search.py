"""The largest value that data still exclude."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_POINTS = 33
"""Candidates of a round, tested together: numpy's overhead of a call is that of about as many."""
_PRECISION = 1e-7
_MOST = 1e4
"""No number of canaries that fits in memory shows more."""


def largest_excluded(excluded: Callable[[Floats], NDArray[np.bool_]]) -> float:
    """Largest value such that it and all smaller candidates are excluded; 0 where 0 is not.

    Rounds towards 0. The first candidate that is not excluded ends the search, whatever comes after it: a bound beyond
    a value that the data allow would not hold.
    """
    low, high = 0.0, 1.0
    if not excluded(np.zeros(1))[0]:
        return 0.0
    while high < _MOST and excluded(np.linspace(low, high, _POINTS)).all():
        low, high = high, 2 * high
    while high - low > _PRECISION * max(1.0, high):
        candidates = np.linspace(low, high, _POINTS)
        allowed = np.flatnonzero(~excluded(candidates))
        first = int(allowed[0]) if len(allowed) else _POINTS - 1
        low, high = candidates[max(first - 1, 0)], candidates[first]
    return float(low)
