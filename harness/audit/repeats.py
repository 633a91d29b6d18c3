"""One audit under several seeds: how often each case ends the same, and each rate over seeds and cases together.

Probes that draw (attacks, typing errors) answer for one draw. Repeated, the audit itself stays as it is, with its
verdict; each further seed is an audit inside its folder, of the probes that draw alone, on the same cases.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from harness.api.means import ratio_interval, unit_sums
from harness.api.metrics import Metric, RowValues
from harness.api.probe import Plan, Probe
from harness.audit.plan import AuditPlan, PlannedProbe
from harness.audit.spec import ProbeSpec
from harness.base.csv_cells import csv_text
from harness.base.files import make_folder, write_text
from harness.errors import UsageError
from harness.record.folder import AuditFolder

FILE = "repeats.json"
_CASES = "repeats"


@dataclass(frozen=True, slots=True)
class Repeated:
    """A metric over seeds.

    Attributes:
        key: suite/probe/metric.
        value: over all rows of all seeds; None where none counts.
        low: of its interval over cases, whose seeds are one cluster.
        high: likewise.
        n: cases that count under some seed.
        by_seed: value under each seed.
        unsteady: cases that do not end the same under all seeds; None where the metric is no share.
        note: which seeds did not finish.
    """

    key: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    by_seed: tuple[float | None, ...]
    unsteady: int | None
    note: str = ""


def inside(plan: AuditPlan, first: AuditFolder) -> AuditPlan:
    """A repeat's plan, to be written inside the audit it repeats: it is no audit to gate, release or list by itself."""
    return replace(plan, spec=plan.spec.model_copy(update={"output": first.path / _CASES}))


def repeats_of(plan: AuditPlan, times: int) -> list[AuditPlan]:
    """Plans of the further seeds: the probes that draw, on the cases of `plan`. Raises UsageError: none draws."""
    drawing = [planned for planned in plan.probes if _draws(planned, plan)]
    if not drawing:
        raise UsageError(
            "--repeat: no probe of this audit draws at random on given cases, so there is nothing to repeat"
        )
    return [_reseeded(plan, drawing, step, times) for step in range(1, times)]


def summarise(folders: Sequence[AuditFolder], plan: AuditPlan) -> list[Repeated]:
    """Every metric of the repeated probes which is a sum over rows, from the rows of the audits of all seeds."""
    found = []
    for planned in plan.probes:
        if _is_repeated(planned, folders):
            sides = [folder.rows(planned.probe.name).sort_values("case_id") for folder in folders]
            short = "; ".join(
                f"seed {at + 1} of {len(sides)} has {len(rows)} of {len(planned.cases)} cases"
                for at, rows in enumerate(sides)
                if len(rows) < len(planned.cases)
            )
            measured = _of_probe(planned.probe, sides, _headlines(folders[0], planned.probe.name))
            found += [replace(each, note=short) for each in measured]
    return found


def write_repeats(folders: Sequence[AuditFolder], plan: AuditPlan) -> list[Repeated]:
    """`summarise`, written to the first audit's folder: the summary, and a CSV per probe with each case's rate."""
    found = summarise(folders, plan)
    first = folders[0]
    content = {
        "audits": [folder.path.name for folder in folders],
        "metrics": [{name: getattr(each, name) for name in Repeated.__dataclass_fields__} for each in found],
    }
    write_text(first.path / FILE, json.dumps(content, indent=2) + "\n")
    for planned in plan.probes:
        if _is_repeated(planned, folders):
            sides = [folder.rows(planned.probe.name).sort_values("case_id") for folder in folders]
            frame = case_rates(planned.probe, sides, _headlines(first, planned.probe.name))
            name = planned.probe.name.replace("/", ".")
            write_text(make_folder(first.path / _CASES) / f"{name}.csv", csv_text(frame))
    return found


def case_rates(probe: Probe[Any], sides: Sequence[pd.DataFrame], metrics: Sequence[str]) -> pd.DataFrame:
    """[case_id, metric, rate, n]: in how many of the n seeds under which it counts a case adds to a share."""
    parts = []
    for metric in metrics:
        columns = _columns(probe, sides, metric)
        if columns is not None and _is_share(columns):
            grouped = columns[columns["below"] > 0].groupby("case_id", sort=True)
            rates = grouped.agg(rate=("above", "mean"), n=("below", "size")).reset_index()
            parts.append(rates.assign(metric=metric)[["case_id", "metric", "rate", "n"]])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["case_id", "metric", "rate", "n"])


def _draws(planned: PlannedProbe, plan: AuditPlan) -> bool:
    """Whether a seed changes what becomes of the cases, not which they are (as of a generated checklist)."""
    probe = planned.probe
    if "seed" not in type(probe.params).model_fields:
        return False
    again = _seeded(probe, 1).cases(Plan(plan.info, plan.spec.seed, planned.data))
    return {case.id for case in planned.cases} <= {case.id for case in again}


def _is_repeated(planned: PlannedProbe, folders: Sequence[AuditFolder]) -> bool:
    return any(record.name == planned.probe.name for record in folders[-1].manifest().probes)


def _seeded(probe: Probe[Any], step: int) -> Probe[Any]:
    params = probe.params
    return type(probe)(params.model_copy(update={"seed": params.seed + step}))


def _reseeded(plan: AuditPlan, drawing: Sequence[PlannedProbe], step: int, times: int) -> AuditPlan:
    probes = [replace(planned, probe=_seeded(planned.probe, step)) for planned in drawing]
    asked = tuple(ProbeSpec(name=each.probe.name, params=each.probe.params.model_dump(mode="json")) for each in probes)
    name = f"{plan.spec.title}, repeat {step + 1} of {times}"
    spec = plan.spec.model_copy(update={"probes": asked, "policy": None, "name": name})
    return AuditPlan(spec, plan.info, tuple(probes), {}, plan.plugin_errors)


def _headlines(folder: AuditFolder, probe: str) -> list[str]:
    found: list[Metric] = [each for each in folder.metrics() if each.key.rpartition("/")[0] == probe]
    return [each.key.rpartition("/")[2] for each in found if each.headline and not each.slice]


def _of_probe(probe: Probe[Any], sides: Sequence[pd.DataFrame], metrics: Sequence[str]) -> list[Repeated]:
    found = []
    for metric in metrics:
        columns = _columns(probe, sides, metric)
        if columns is not None:
            values = _values(probe, sides[0], metric)
            found.append(_repeated(f"{probe.name}/{metric}", columns, values, len(sides)))
    return found


def _repeated(key: str, columns: pd.DataFrame, values: RowValues | None, seeds: int) -> Repeated:
    counted = columns[columns["below"] > 0]
    by_seed = []
    for seed in range(seeds):
        mine = counted[counted["seed"] == seed]
        by_seed.append(_finished(values, mine["above"].sum() / mine["below"].sum()) if len(mine) else None)
    if counted.empty or values is None:
        return Repeated(key, None, None, None, 0, tuple(by_seed), None)
    sums = np.stack([counted["above"].to_numpy(float), counted["below"].to_numpy(float)])
    units = unit_sums(sums, counted["cluster"].to_numpy(object))
    interval = ratio_interval(units, replace(values, clusters=counted["cluster"].to_numpy(object)))
    unsteady = None
    if _is_share(columns):
        rates = counted.groupby("case_id")["above"].mean()
        unsteady = int(((rates > 0) & (rates < 1)).sum())
    value = _finished(values, sums[0].sum() / sums[1].sum())
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return Repeated(key, value, low, high, counted["case_id"].nunique(), tuple(by_seed), unsteady)


def _columns(probe: Probe[Any], sides: Sequence[pd.DataFrame], metric: str) -> pd.DataFrame | None:
    """[case_id, seed, above, below, cluster] of the usable rows of all seeds; None: the metric is no sum over rows."""
    parts = []
    for seed, rows in enumerate(sides):
        values = _values(probe, rows, metric)
        if values is None:
            return None
        above = np.asarray(values.above, dtype=float)
        below = np.ones_like(above) if values.below is None else np.asarray(values.below, dtype=float)
        clusters = rows["case_id"].to_numpy() if values.clusters is None else np.asarray(values.clusters, dtype=object)
        part = pd.DataFrame({"case_id": rows["case_id"].to_numpy(), "seed": seed, "above": above, "below": below})
        parts.append(part.assign(cluster=clusters)[np.isfinite(above) & np.isfinite(below)])
    together: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return together


def _values(probe: Probe[Any], rows: pd.DataFrame, metric: str) -> RowValues | None:
    return probe.row_values(rows.reset_index(drop=True), metric, "")


def _is_share(columns: pd.DataFrame) -> bool:
    counted = columns[columns["below"] > 0]
    two = bool(counted["above"].isin([0.0, 1.0]).all()) and bool((counted["below"] == 1).all())
    return two and len(counted) > 0


def _finished(values: RowValues | None, ratio: float) -> float:
    if values is None or values.finish is None:
        return float(ratio)
    return float(values.finish(np.asarray([ratio], dtype=float))[0])
