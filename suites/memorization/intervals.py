"""Intervals of differences that the memorization probes report."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats import Interval, wilson


def newcombe(first: int, first_n: int, second: int, second_n: int, level: float = 0.95) -> Interval:
    """Interval of first/first_n - second/second_n, independent samples (Newcombe 1998, method 10: hybrid score)."""
    a, b = first / first_n, second / second_n
    of_a, of_b = wilson(first, first_n, level), wilson(second, second_n, level)
    low = a - b - math.hypot(a - of_a.low, of_b.high - b)
    high = a - b + math.hypot(of_a.high - a, b - of_b.low)
    return Interval(low, high, "Newcombe hybrid score", level)


def advantage(members: ArrayLike, non_members: ArrayLike) -> float:
    """Largest TPR - FPR over all thresholds of 'member when the loss is at most t' (Yeom et al. 2018); at least 0."""
    ours, others = np.sort(np.asarray(members, dtype=np.float64)), np.sort(np.asarray(non_members, dtype=np.float64))
    thresholds: NDArray[Any] = np.concatenate([ours, others])
    tpr = np.searchsorted(ours, thresholds, side="right") / len(ours)
    fpr = np.searchsorted(others, thresholds, side="right") / len(others)
    return max(0.0, float((tpr - fpr).max()))


def advantage_interval(value: float, members_n: int, non_members_n: int, level: float = 0.95) -> Interval:
    """Interval of the advantage with coverage of at least `level`, whichever threshold turned out best.

    Both empirical distribution functions are everywhere within their DKW bands (Dvoretzky, Kiefer & Wolfowitz 1956,
    constant of Massart 1990), each at half the error, so the largest difference is off by at most their sum.
    """
    error = (1 - level) / 2
    reach = sum(math.sqrt(math.log(2 / error) / (2 * n)) for n in (members_n, non_members_n))
    return Interval(max(0.0, value - reach), min(1.0, value + reach), "DKW-Massart, both samples", level)
