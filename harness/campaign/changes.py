"""Two audits by paired rows: the difference of a metric, with its interval, over the cases that both have."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from harness.api.metrics import Better, Metric
from harness.base.frozen import Frozen
from harness.baseline.compare import Baseline, compare_metrics
from harness.gate.verdict import Comparison
from harness.record.folder import AuditFolder
from harness.stats.paired import mcnemar

_DIRECTED = (Better.HIGHER, Better.LOWER)


class Change(Frozen):
    """A metric of two checkpoints over the cases that both audits have; after - before."""

    metric: str = Field(description="suite/probe/metric")
    n: int = Field(ge=0, description="paired cases with a usable row in both")
    unusable: int = Field(default=0, ge=0, description="cases without a usable row in one of the two")
    before: float | None = None
    after: float | None = None
    difference: float | None = None
    low: float | None = Field(default=None, description="lower end of the interval of the difference")
    high: float | None = Field(default=None, description="upper end of the interval of the difference")
    level: float = Field(default=0.95, gt=0, lt=1)
    method: str = Field(default="", description="how the interval was computed")
    p: float | None = Field(
        default=None, ge=0, le=1, description="McNemar's exact two-sided p; None: rows have more than two outcomes"
    )
    became_right: int | None = Field(default=None, description="cases wrong before and right after")
    became_wrong: int | None = Field(default=None, description="cases right before and wrong after")
    right_ids: tuple[str, ...] = Field(default=(), description="ids of the first of those that became right")
    wrong_ids: tuple[str, ...] = Field(default=(), description="ids of the first of those that became wrong")
    note: str = ""


def changes_of(metrics: Sequence[Metric], after: AuditFolder, before: AuditFolder) -> list[Change]:
    """Differences (after - before) of these metrics, in their order.

    One without a direction, or with a target, is compared as it is: its difference, not its distance from the target.
    Raises UsageError where the two audits read different data.
    """
    asked = [one if one.better in _DIRECTED else one.model_copy(update=_AS_IT_IS) for one in metrics]
    found = compare_metrics(asked, after, Baseline(before, str(before.path)))
    return [change(metric, paired) for metric, paired in zip(metrics, found, strict=True)]


_AS_IT_IS = {"better": Better.LOWER, "target": None}
"""A comparison's regression is then the difference itself."""


def change(metric: Metric, paired: Comparison) -> Change:
    """A comparison, in which larger is worse, as a difference in the metric's own direction."""
    low, high = paired.low, paired.high
    if metric.better is Better.HIGHER:
        low, high = (None if end is None else -end for end in (high, low))
    flips = paired.flips if metric.better in _DIRECTED else None
    return Change(
        metric=metric.key,
        n=paired.n,
        unusable=paired.unusable,
        before=paired.baseline,
        after=paired.candidate,
        difference=paired.difference,
        low=low,
        high=high,
        level=paired.level,
        method=paired.test,
        p=None if flips is None else two_sided(flips.worse, flips.better),
        became_right=None if flips is None else flips.better,
        became_wrong=None if flips is None else flips.worse,
        right_ids=() if flips is None else flips.better_ids,
        wrong_ids=() if flips is None else flips.worse_ids,
        note=paired.note,
    )


def two_sided(worse: int, better: int) -> float:
    """McNemar's exact p of "as many became right as wrong": twice the smaller tail of a fair coin, at most 1."""
    return min(1.0, 2 * min(mcnemar(worse, better), mcnemar(better, worse)))
