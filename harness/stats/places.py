"""The place of each score among those of its kind: scores of two kinds cannot be compared, their places can."""

from __future__ import annotations

import pandas as pd

from harness.stats.intervals import FloatArray

ENOUGH = 20
"""Scores of a class from which on their mean is known better than one of them moves it."""


def places(scores: pd.Series[float], kinds: pd.Series[str], labels: pd.Series[str]) -> FloatArray:
    """Places between 0 (lowest) and 1 of scores [n] among those of their kind, equal scores in the middle of theirs.

    What all scores of a class (kind and label) have in common is taken off first, where there are `ENOUGH` of it.
    """
    groups = scores.groupby([kinds, labels], sort=False)
    common = groups.transform("mean").where(groups.transform("size") >= ENOUGH, 0.0)
    ranks = (scores - common).groupby(kinds, sort=False)
    return ((ranks.rank(method="average") - 0.5) / ranks.transform("size")).to_numpy("float64")
