"""Two audits by paired rows: every headline metric that adds up over rows and has a better direction."""

from __future__ import annotations

from harness.api.metrics import Better, Metric
from harness.campaign.audited import Audited
from harness.campaign.changes import Change, changes_of

_FIRST = ("/accuracy", "/clean_accuracy", "/after_attack_accuracy", "/attack_success_rate")
"""Ends of keys that are shown first."""


def changes(after: Audited, before: Audited) -> tuple[Change, ...]:
    """Differences (after - before) of each headline metric with a value per row, over the cases both audits have."""
    by_row = _by_row(after)
    wanted = [metric for metric in after.folder.metrics() if _directed(metric) and metric.key in by_row]
    made = changes_of(wanted, after.folder, before.folder)
    return tuple(sorted(made, key=lambda one: _place(one.metric)))


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
