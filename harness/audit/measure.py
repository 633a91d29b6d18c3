"""Metrics of a planned probe from its rows; needs no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.api.curves import CurvePlot
from harness.api.metrics import Better, Metric, missing_metric
from harness.api.probe import Probe, error_row
from harness.audit.plan import PlannedProbe, metric_names
from harness.base.plugins import guarded
from harness.provenance.claim import TrainingRecord
from harness.record.folder import AuditFolder
from harness.record.row_check import RowCheck
from harness.record.rows import RowStore

UNRUN = "not run"
"""Why a case has no result where its probe was stopped before it."""


def measure(planned: PlannedProbe, folder: AuditFolder) -> list[Metric]:
    """Metrics of one probe from its rows; cases without a row are missing from what they would have counted for.

    Raises PluginError where the probe cannot measure them, AuditError where they are damaged.
    """
    probe = planned.probe
    rows = RowStore(folder.path, probe.name, probe.Row).read()
    return measured_rows(probe, _in_order(_with_unrun(rows, planned), planned))


def measured_rows(probe: Probe[Any], rows: pd.DataFrame) -> list[Metric]:
    """Metrics of rows, whoever made them. Raises PluginError where the probe cannot measure them."""
    return guarded(  # all of it is the probe's word; a million rows may take minutes
        lambda: [bounded(metric, probe).with_prefix(probe.name) for metric in probe.measure(rows)], limit=None
    )


def plots(planned: PlannedProbe, folder: AuditFolder) -> list[CurvePlot]:
    """Curves of one probe from its rows; most have none, and their rows are not read. Raises as `measure` does."""
    probe = planned.probe
    if type(probe).plots is Probe.plots:
        return []
    rows = _in_order(RowStore(folder.path, probe.name, probe.Row).read(), planned)
    return guarded(lambda: [plot.with_prefix(probe.name) for plot in probe.plots(rows)], limit=None)


def backed(found: Sequence[CurvePlot], training: TrainingRecord | None) -> list[CurvePlot]:
    """Plots with the curves of a privacy claim only where that claim is verified."""
    if training is not None and training.privacy is not None and training.privacy.bound is not None:
        return list(found)
    return [kept for each in found if (kept := each.without_claimed()) is not None]


def bounded(metric: Metric, probe: Probe[Any]) -> Metric:
    """With the ends that its probe declares, unless it has its own. Raises TypeError for what are no two numbers."""
    if metric.bounds is not None or (ends := probe.bounds_of(metric.key)) is None:
        return metric
    if not (isinstance(ends, tuple) and len(ends) == 2 and all(isinstance(end, int | float) for end in ends)):
        raise TypeError(f"bounds_of gave {repr(ends)[:60]}, not the least and the most")
    return metric.model_copy(update={"bounds": ends})


def missing_metrics(probe: Probe[Any], why: str) -> list[Metric]:
    """Every metric the probe is known to give, without a value."""
    if declared := probe.named():
        return [each.none(why).with_prefix(probe.name) for each in declared.values()]
    keys = sorted(metric_names(probe)) or ["measured"]
    return [missing_metric(f"{probe.name}/{key}", why, better=Better.NEITHER) for key in keys]


def _with_unrun(rows: pd.DataFrame, planned: PlannedProbe) -> pd.DataFrame:
    """Rows, and one of an error for each case that has none, which knows its role: a control's is not the score's."""
    done, probe = set(rows["case_id"]), planned.probe
    left = [case for case in planned.cases if case.id not in done]
    if not left:
        return rows
    made = guarded(lambda: [{**error_row(case, UNRUN), **probe.of_case(case)} for case in left], limit=None)
    unrun = pd.DataFrame(RowCheck(probe.name, probe.Row).table(made).to_pandas())
    return unrun if rows.empty else pd.concat([rows, unrun], ignore_index=True)


def _in_order(rows: pd.DataFrame, planned: PlannedProbe) -> pd.DataFrame:
    """Rows as planned, not as written: a resumed or parallel audit measures the same to the last digit."""
    place = {case.id: at for at, case in enumerate(planned.cases)}
    return rows.iloc[rows["case_id"].map(place).argsort(kind="stable")].reset_index(drop=True)
