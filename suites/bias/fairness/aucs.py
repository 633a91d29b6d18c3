"""AUCs of a group and of what is beside it, without a threshold (Borkan et al. 2019, Nuanced Metrics)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.api.scorer import Bools, Floats
from harness.stats.intervals import Interval, auc, auc_interval

POWER = -5.0
"""Of the mean over groups, as in Borkan et al.'s challenge: the worst groups weigh most."""


@dataclass(frozen=True, slots=True)
class GroupAuc:
    """An AUC of one group, its interval, and the one that holds together with those of the other groups."""

    value: float
    interval: Interval
    together: Interval
    n: int


def group_aucs(scores: Floats, positive: Bools, member: Bools, fewest: int, groups: int) -> dict[str, GroupAuc | None]:
    """Three AUCs of the group `member` [n]; None where a side has fewer than `fewest` records.

    subgroup: within the group. bpsn: background's positives against the group's negatives, low where harmless texts of
    the group score high. bnsp: the group's positives against the background's negatives.
    """
    sides = {
        "subgroup_auc": (positive & member, ~positive & member),
        "bpsn_auc": (positive & ~member, ~positive & member),
        "bnsp_auc": (positive & member, ~positive & ~member),
    }
    found: dict[str, GroupAuc | None] = {}
    for name, (above, below) in sides.items():
        n, m = int(above.sum()), int(below.sum())
        if min(n, m) < max(fewest, 1):
            found[name] = None
        else:
            value = auc(scores[above], scores[below])
            together = auc_interval(value, n, m, 1 - 0.05 / groups)
            found[name] = GroupAuc(value, auc_interval(value, n, m), together, n + m)
    return found


def generalised_mean(values: Sequence[float], power: float = POWER) -> float:
    """(mean of v^p)^(1/p) of values in [0, 1]; 0 where one of them is 0 and p is negative."""
    given = np.asarray(values, dtype=np.float64)
    if power < 0 and (given == 0).any():
        return 0.0
    return float(np.mean(given**power) ** (1 / power))
