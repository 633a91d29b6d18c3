"""How well scores tell members from others: the curve, and the true-positive rate at a low false-positive rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import UsageError
from harness.stats.intervals import Interval, clopper_pearson

Floats = NDArray[np.float64]

FALSE_POSITIVES_NEEDED = 10
"""Expected at the rate asked for. The exact 95 % interval of a rate with 10 seen is 0.48 to 1.84 times it, so the rate
is known within a factor of about 2; with 1 it is 0.03 to 5.6 times. So 1 % needs 1,000 non-members, 0.1 % 10,000."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The true-positive rate at a threshold that was fixed on other records."""

    value: float
    interval: Interval
    """Exact, given the threshold."""
    asked: float
    """The false-positive rate that the threshold was meant for."""
    attained: float
    """The one it has on the records measured."""
    attained_interval: Interval
    threshold: float
    """A score above it counts as 'member'."""
    members: int
    non_members: int


def non_members_needed(false_positive_rate: float) -> int:
    """Non-members for a threshold at the rate, and as many others to measure it on."""
    return math.ceil(FALSE_POSITIVES_NEEDED / false_positive_rate - 1e-9)


def why_unsupported(false_positive_rate: float, fixing: int, measuring: int) -> str | None:
    """Why so many non-members to fix a threshold on and to measure it with cannot show the rate; None: they can."""
    if not 0 < false_positive_rate < 1:
        return f"a false-positive rate of {false_positive_rate:g} cannot be measured; ask for one between 0 and 1"
    needed = non_members_needed(false_positive_rate)
    if min(fixing, measuring) >= needed:
        return None
    possible = FALSE_POSITIVES_NEEDED / max(1, min(fixing, measuring))
    instead = f"ask for a rate of at least {100 * possible:.2g} %" if possible < 1 else "no rate can be shown"
    return (
        f"a false-positive rate of {100 * false_positive_rate:g} % needs {needed:,} non-members to fix the threshold "
        f"on and {needed:,} others to measure it with, here are {fixing:,} and {measuring:,}; give more, or {instead}"
    )


def tpr_at_fpr(
    fixing: ArrayLike, members: ArrayLike, non_members: ArrayLike, false_positive_rate: float, level: float = 0.95
) -> Rate:
    """True-positive rate of 'score above t', where at most the rate of the non-members `fixing` [f] lies above t.

    `members` and `non_members` are other records than those of `fixing`; both intervals are exact Clopper-Pearson.
    Raises UsageError where too few non-members were given, or no members; ValueError for a score that is NaN.
    """
    first, ours, others = (np.asarray(each, dtype=np.float64) for each in (fixing, members, non_members))
    if any(np.isnan(each).any() for each in (first, ours, others)):
        raise ValueError("a score is NaN; leave its record out")
    refusal = why_unsupported(false_positive_rate, len(first), len(others))
    if refusal is not None or not len(ours):
        raise UsageError(refusal or "no members to measure a true-positive rate with; give some")
    allowed = int(false_positive_rate * len(first) + 1e-9)
    threshold = float(np.partition(first, -allowed - 1)[-allowed - 1])
    hits, alarms = int((ours > threshold).sum()), int((others > threshold).sum())
    return Rate(
        value=hits / len(ours),
        interval=clopper_pearson(hits, len(ours), level),
        asked=false_positive_rate,
        attained=alarms / len(others),
        attained_interval=clopper_pearson(alarms, len(others), level),
        threshold=threshold,
        members=len(ours),
        non_members=len(others),
    )


def curve(members: ArrayLike, non_members: ArrayLike) -> tuple[Floats, Floats]:
    """False- and true-positive rates [k] of 'score of at least t', for every t from the highest down, from (0, 0) on.

    Raises ValueError where a side is empty or a score is NaN.
    """
    ours, others = (np.sort(np.asarray(each, dtype=np.float64)) for each in (members, non_members))
    if not len(ours) or not len(others) or np.isnan(ours).any() or np.isnan(others).any():
        raise ValueError("a curve needs at least one score on each side and no NaN")
    thresholds = np.unique(np.concatenate([ours, others]))[::-1]
    false, true = (1 - np.searchsorted(each, thresholds, side="left") / len(each) for each in (others, ours))
    return np.concatenate([[0.0], false]), np.concatenate([[0.0], true])
