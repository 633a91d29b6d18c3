"""View model of two audits side by side: paired differences with their intervals, and the cases that flipped; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from dashboards.audits import Audit
from harness.api.metrics import Metric
from harness.base import numbers
from harness.base.language import ENGLISH, _, marked, spoken
from harness.baseline.compare import Baseline, compare_metrics
from harness.gate.claim_metric import CLAIM_METRIC
from harness.gate.verdict import Comparison
from harness.record.folder import AuditFolder
from harness.reports.content import report as content
from harness.reports.content.recorded import retold
from harness.scan.record import SCAN_METRIC

COLUMNS = (
    marked("metric"),
    marked("base"),
    marked("this"),
    marked("worse by"),
    marked("interval"),
    marked("found"),
    marked("n"),
    marked("note"),
)
"""Columns of a table of differences; a page shows `titled` ones."""
WORSE, BETTER, UNCLEAR, NOT_COMPARED = (
    marked("✖ worse"),
    marked("✔ better"),
    marked("? not clear"),
    marked("– not compared"),
)


def shared(candidate: Audit, base: Audit) -> list[Metric]:
    """Headline metrics without slice that both have a value of, made of rows."""
    known = {metric.key for metric in base.metrics if metric.value is not None and not metric.slice}
    return [
        metric
        for metric in candidate.metrics
        if metric.headline and metric.value is not None and not metric.slice and metric.key in known
        if metric.key not in (SCAN_METRIC, CLAIM_METRIC)
    ]


def compared(candidate: Audit, base: Audit) -> list[Comparison]:
    """Each shared metric, paired by case; of a probe that measured other data there, why it is not."""
    baseline = Baseline(AuditFolder(base.folder), base.manifest.audit_id)
    with spoken(ENGLISH):  # what it says is kept and shown in other languages, too
        return compare_metrics(shared(candidate, base), AuditFolder(candidate.folder), baseline, all_probes=False)


def found(comparison: Comparison) -> str:
    """What the interval of the difference proves: it lies on one side of nothing, or it does not."""
    if comparison.regression is None or comparison.low is None or comparison.high is None:
        return NOT_COMPARED
    if comparison.low > 0:
        return WORSE
    return BETTER if comparison.high < 0 else UNCLEAR


def table(comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """One line per metric, those proven worse first."""
    order = [WORSE, BETTER, UNCLEAR, NOT_COMPARED]
    lines = sorted(comparisons, key=lambda comparison: order.index(found(comparison)))
    return pd.DataFrame(
        [
            [
                content.comparison_name(each),
                numbers.number(each.baseline),
                numbers.number(each.candidate),
                numbers.number(each.regression),
                numbers.interval(each.low, each.high),
                _(found(each)),
                each.n,
                retold(each.note),
            ]
            for each in lines
        ],
        columns=list(COLUMNS),
    )


def chart_frame(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Differences that can be drawn: metric, how much worse, its interval and what that proves."""
    drawn = [each for each in comparisons if found(each) != NOT_COMPARED]
    return pd.DataFrame(
        {
            "metric": [content.comparison_name(each) for each in drawn],
            "worse by": [each.regression for each in drawn],
            "low": [each.low for each in drawn],
            "high": [each.high for each in drawn],
            "found": [_(found(each)) for each in drawn],
        }
    )


def flipped(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Those of which cases changed sides."""
    return [each for each in comparisons if each.flips is not None and (each.flips.worse or each.flips.better)]
