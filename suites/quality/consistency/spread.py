"""How far a change of form moves the accuracy, at most: over several changes, with an interval that holds for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.api.means import ratio_interval
from harness.api.metrics import RowValues
from harness.stats.intervals import FloatArray, Interval, Method

BOUNDS = (-1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Largest:
    """The change that moves the accuracy most."""

    change: str
    value: float
    interval: Interval | None


def largest_move(differences: Mapping[str, FloatArray], level: float = 0.95) -> Largest:
    """The largest |mean| of right after less right before, [texts] of each change, each in {-1, 0, 1}; none is empty.

    The largest of several is too large on average. Each change's interval errs in a k-th of what is allowed
    (Bonferroni), so all hold at once, and with them that the largest lies between the largest of their nearest ends and
    the largest of their farthest. Without the interval of one there is none of the largest.
    """
    means = {change: float(values.mean()) for change, values in differences.items()}
    most = max(means, key=lambda change: abs(means[change]))
    each = 1 - (1 - level) / len(means)
    found = [
        ratio_interval(np.stack([values, np.ones(len(values))], axis=1), RowValues([], bounds=BOUNDS), level=each)
        for values in differences.values()
    ]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return Largest(most, abs(means[most]), None)
    near = max(max(0.0, one.low, -one.high) for one in known)
    far = max(max(abs(one.low), abs(one.high)) for one in known)
    interval = Interval(near, min(1.0, far), Method.WORST, level)
    return Largest(most, abs(means[most]), interval)
