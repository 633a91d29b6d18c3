"""Intervals of differences that the memorization probes report."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.intervals import Interval, Method, share_reach

Reach = tuple[float, float]


def newcombe(first: int, first_n: int, second: int, second_n: int, level: float = 0.95) -> Interval:
    """Interval of first/first_n - second/second_n, independent samples (Newcombe 1998, method 10).

    Its distances are `share_reach`'s, not those of Wilson, whose error on one side is near 0.1 next to 0 and 1.
    """
    reaches = share_reach(first, first_n, level), share_reach(second, second_n, level)
    return difference(first / first_n - second / second_n, *reaches, level)


def difference(value: float, first: Reach, second: Reach, level: float = 0.95) -> Interval:
    """Interval of a difference of two independent rates by how far each reaches down and up; squares add."""
    (a_down, a_up), (b_down, b_up) = first, second
    low, high = value - math.hypot(a_down, b_up), value + math.hypot(a_up, b_down)
    return Interval(max(-1.0, low), min(1.0, high), Method.DIFFERENCE, level)


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
    return Interval(max(0.0, value - reach), min(1.0, value + reach), Method.ADVANTAGE, level)
