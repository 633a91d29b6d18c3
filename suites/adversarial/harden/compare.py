"""Two audits by paired rows: every headline metric that adds up over rows and has a better direction."""

from __future__ import annotations

from harness.api.metrics import Better, Metric
from harness.baseline.compare import Baseline, compare
from harness.gate.policy import BaselineRule, Gate, Policy
from harness.gate.verdict import Comparison as Paired
from harness.stats.paired import mcnemar
from suites.adversarial.harden.audits import Audited
from suites.adversarial.harden.result import Change

_FIRST = ("/accuracy", "/clean_accuracy", "/after_attack_accuracy", "/attack_success_rate")
"""Ends of keys that are shown first."""


def changes(after: Audited, before: Audited) -> tuple[Change, ...]:
    """Differences (after - before) of each headline metric with a value per row, over the cases both audits have."""
    by_row = _by_row(after)
    wanted = [metric for metric in after.folder.metrics() if _directed(metric) and metric.key in by_row]
    if not wanted:
        return ()
    policy = Policy(
        name="hardening",
        gates=tuple(Gate(id=metric.key, metric=metric.key, baseline=BaselineRule()) for metric in wanted),
    )
    found = compare(policy, after.folder, Baseline(before.folder, str(before.folder.path))).comparisons
    made = [change(metric, found[metric.key, metric.key, ""]) for metric in wanted]
    return tuple(sorted(made, key=lambda one: _place(one.metric)))


def change(metric: Metric, paired: Paired) -> Change:
    """A comparison, in which larger is worse, as a difference in the metric's own direction."""
    ends = (paired.low, paired.high)
    low, high = (
        ends if metric.better is Better.LOWER else tuple(None if end is None else -end for end in reversed(ends))
    )
    flips = paired.flips
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


def not_by_row(after: Audited) -> tuple[str, ...]:
    """Keys of the headline metrics that are left out because no row has a value of its own."""
    by_row = _by_row(after)
    return tuple(one.key for one in after.folder.metrics() if _directed(one) and one.key not in by_row)


def _by_row(audited: Audited) -> frozenset[str]:
    """Keys of the metrics that add up over rows."""
    keys = set[str]()
    for planned in audited.plan.probes:
        probe = planned.probe
        names = [one.key for one in audited.folder.metrics() if one.key.rpartition("/")[0] == probe.name]
        columns = probe.value_columns(key.rpartition("/")[2] for key in names)
        rows = audited.folder.rows(probe.name, [*columns])
        keys |= {key for key in names if probe.row_values(rows, key.rpartition("/")[2], "") is not None}
    return frozenset(keys)


def _directed(metric: Metric) -> bool:
    return metric.headline and not metric.slice and metric.better in (Better.HIGHER, Better.LOWER)


def _place(key: str) -> int:
    return next((at for at, end in enumerate(_FIRST) if key.endswith(end)), len(_FIRST))
