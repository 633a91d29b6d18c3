"""The true-positive rate at a low false-positive rate, its threshold fixed on records that no rate is read from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.api.declared import Named
from harness.api.metrics import Better, Metric
from harness.api.scorer import Bools, Floats
from harness.stats.intervals import Interval, auc, auc_interval
from suites.memorization.signals.roc import tpr_at_fpr, why_unsupported

DEFAULT_FPRS = (0.001, 0.01, 0.05, 0.1)
_HEADLINE = 0.01
"""Rates below it need tens of thousands of held-out records, so that most audits have no value of them."""


@dataclass(frozen=True, slots=True)
class Side:
    """Scores of members and of non-members, higher: likelier a member."""

    members: Floats
    non_members: Floats
    fixing: Bools
    """Of the non-members, whether thresholds are fixed on one."""

    @property
    def sizes(self) -> tuple[int, int]:
        """How many there are of each."""
        return len(self.members), len(self.non_members)

    @property
    def area(self) -> tuple[float, Interval]:
        """AUC with its interval; no threshold is fixed for it, so all count."""
        value = auc(self.members, self.non_members)
        return value, auc_interval(value, *self.sizes)


def side_of(good: pd.DataFrame, name: str, sign: float = 1.0) -> Side:
    """A column's values times `sign`, by side; rows that have none are left out."""
    values = sign * good[name].to_numpy(dtype=np.float64, na_value=np.nan)
    member, fixing = (good[column].to_numpy(dtype=np.bool_) for column in ("member", "fixing"))
    known = ~np.isnan(values)
    return Side(values[known & member], values[known & ~member], fixing[known & ~member])


def rate_name(key: str, fpr: float, *, headline: bool = True) -> Named:
    """The declaration of a rate."""
    return Named(key, Better.LOWER, unit="rate", headline=headline and fpr >= _HEADLINE)


def rate(named: Named, side: Side, fpr: float, missing: int, note: str = "") -> Metric:
    """Members above the threshold that at most `fpr` of the fixing half lie above; none where those are too few."""
    fixing, others = side.non_members[side.fixing], side.non_members[~side.fixing]
    refusal = why_unsupported(fpr, len(fixing), len(others))
    if refusal is not None:
        return named.none(refusal, missing=missing)
    found = tpr_at_fpr(fixing, side.members, others, fpr)
    low, high = found.attained_interval.low, found.attained_interval.high
    said = (
        f"threshold fixed on {len(fixing):,} held-out records; on the other {found.non_members:,} its FPR is "
        f"{found.attained:.4f} ({low:.4f} to {high:.4f}){note}"
    )
    return named.value(found.value, found.interval, found.members, missing=missing, note=said)
