"""How far accuracy moves between orders of the same questions, with an interval for the two that lie farthest apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt

from harness.api.means import ratio_interval
from harness.api.metrics import RowValues
from harness.stats.intervals import Interval, Method


def spread(correct: npt.NDArray[np.bool_], level: float = 0.95) -> tuple[float, Interval]:
    """Largest difference of accuracies between two of the orders, of `correct` [questions, orders > 1].

    Every pair of orders gets an interval of its mean difference over questions at a level that all hold together
    (Bonferroni); the spread lies between the largest of their lower and of their upper ends.
    """
    hits = correct.astype(np.float64)
    pairs = list(combinations(range(hits.shape[1]), 2))
    value = float(hits.mean(axis=0).max() - hits.mean(axis=0).min())
    low = high = value if not pairs else 0.0
    for first, second in pairs:
        units = np.stack([hits[:, first] - hits[:, second], np.ones(len(hits))], axis=1)
        found = ratio_interval(units, RowValues(units[:, 0], bounds=(-1.0, 1.0)), level=1 - (1 - level) / len(pairs))
        assert found is not None  # bounded differences of at least one question
        low = max(low, found.low, -found.high)
        high = max(high, found.high, -found.low)
    return value, Interval(min(low, value), max(high, value), f"{Method.WORST}, {hits.shape[1]} orders", level)
