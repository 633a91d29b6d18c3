"""The largest difference between any two of several groups, with an interval that allows for its being the largest.

Redrawing the records does not give one: of four groups that are alike, the bootstrap's quantiles of the largest
difference hold 0 in no run of 600, and reflected at the value in 87 of 100 (68 for eight groups); see
`benchmarks/group_gaps.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import permutations

from harness.stats.intervals import Interval, Method

LEVEL = 0.95
Estimate = tuple[float, float, float]
"""Value, lower and upper end."""


def farthest(which: tuple[str, str], between: str) -> str:
    """The highest and the lowest group, as a note names them; where all have one value neither is."""
    return "all alike" if which[0] == which[1] else f"{which[0]} {between} {which[1]}"


def level_for(groups: int, level: float = LEVEL) -> float:
    """Level that each group's interval needs, so that all differences of pairs hold together (Bonferroni)."""
    return 1 - (1 - level) / max(1, math.comb(groups, 2))


def largest_difference(groups: Mapping[str, Estimate], level: float = LEVEL) -> tuple[float, Interval, tuple[str, str]]:
    """Largest minus smallest value, its interval, and which groups these are: highest, lowest. Two groups or more.

    `groups` come with intervals of `level_for(len(groups))`. Of each pair of groups how far the estimates reach is
    combined as for two independent ones (MOVER, Zou & Donner 2008); both ends are those of the pair that reaches
    highest, so that the interval holds with whichever pair truly is the farthest apart.
    """
    highest = max(groups, key=lambda name: groups[name][0])
    lowest = min(groups, key=lambda name: groups[name][0])
    value = groups[highest][0] - groups[lowest][0]
    low, high = 0.0, value
    for first, second in permutations(groups, 2):
        (a, a_low, a_high), (b, b_low, b_high) = groups[first], groups[second]
        low = max(low, a - b - math.hypot(a - a_low, b_high - b))
        high = max(high, a - b + math.hypot(a_high - a, b - b_low))
    pairs = math.comb(len(groups), 2)
    method = f"{Method.DIFFERENCE}, largest of {pairs}" if pairs > 1 else str(Method.DIFFERENCE)
    return value, Interval(min(low, value), high, method, level), (highest, lowest)
