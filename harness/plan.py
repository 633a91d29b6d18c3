"""Plans an audit: which probes apply, on which cases of which data. Reads no weights into memory."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from harness.bounds import refuse_unbreakable
from harness.case import Case, sample_cases
from harness.checkpoint import NOTHING, CheckpointInfo, Permissions, inspect_checkpoint
from harness.data import Dataset, DataSource, load_dataset
from harness.errors import AssayError, AuditError, DataError, UsageError
from harness.metrics import Bounds, Metric
from harness.plugins import PluginError, guarded
from harness.power import GatePower, Planned, plan_power
from harness.probe import Plan, Probe
from harness.registry import Found, ProbeClass, find_probes, pick
from harness.spec import AuditSpec, ProbeSpec
from harness.validation import validated


@dataclass(frozen=True, slots=True)
class PlannedProbe:
    """A probe that applies, with its cases."""

    probe: Probe[Any]
    cases: list[Case]
    available: int
    """Cases the data hold, before the limit."""
    data: Mapping[str, Dataset]
    notes: Mapping[str, str] = field(default_factory=dict)
    """How labels of a dataset were read, by input name, where that is not by name."""

    @property
    def cases_digest(self) -> str:
        """sha256 over the case ids in order: a resumed audit must plan the same work."""
        return hashlib.sha256("\n".join(case.id for case in self.cases).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """Everything known before the model is loaded."""

    spec: AuditSpec
    info: CheckpointInfo
    probes: tuple[PlannedProbe, ...]
    not_applicable: Mapping[str, str]
    plugin_errors: Mapping[str, str]


class _NoDefaultError(Exception):
    """A probe was not asked for by name, and the spec gives it no data it can use."""


def make_plan(spec: AuditSpec, found: Found | None = None, *, permissions: Permissions = NOTHING) -> AuditPlan:
    """Plan `spec` under what the user allows the checkpoint.

    Raises UsageError: unknown probe, bad params, bad data, or no probe that applies.
    """
    found = found or find_probes()
    chosen = _chosen(spec, found)
    _check_data(spec, found)
    info = inspect_checkpoint(spec.checkpoint, permissions)
    planned: list[PlannedProbe] = []
    not_applicable: dict[str, str] = {}
    for probe_class, wanted in chosen:
        try:
            why = guarded(lambda each=probe_class: each.why_not(info.offers))  # type: ignore[misc]
        except PluginError as error:
            why = f"it could not say whether it applies ({error})"
        if why is not None:
            not_applicable[probe_class.name] = why
            continue
        try:
            planned.append(_plan_probe(spec, info, probe_class, wanted))
        except _NoDefaultError as reason:
            not_applicable[probe_class.name] = str(reason)
    if not planned:
        reasons = "; ".join(f"{name}: {why}" for name, why in not_applicable.items()) or "none is installed"
        about = "".join(f"; {note.removesuffix('.')}" for note in info.notes)
        raise UsageError(f"{spec.checkpoint.source}: no probe applies ({reasons}){about}")
    return AuditPlan(spec, info, tuple(planned), not_applicable, found.errors)


def _check_data(spec: AuditSpec, found: Found) -> None:
    """Raises UsageError for a dataset of the whole spec that no probe reads: a misspelt name would be ignored."""
    inputs = sorted({name for probe in found.probes.values() for name in probe.inputs})
    unknown = sorted(set(spec.data) - set(inputs))
    if unknown:
        close = difflib.get_close_matches(unknown[0], inputs, 1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"data: no probe reads {unknown[0]!r}; they read {inputs or 'nothing'}{hint}")


def power_of(plan: AuditPlan, earlier: Sequence[Metric] = ()) -> list[GatePower]:
    """What the planned cases can decide of each gate of the spec's policy; empty without one.

    `earlier` are the metrics of an audit to go by.
    """
    if plan.spec.policy is None:
        return []
    planned = {
        each.probe.name: Planned(len(each.cases), metric_names(each.probe), each.probe.shares) for each in plan.probes
    }
    return plan_power(plan.spec.policy, planned, plan.not_applicable, earlier)


def check_rules(plan: AuditPlan) -> None:
    """Raises UsageError for a gate of the spec's policy with a rule that no value of a planned metric can break."""
    if plan.spec.policy is not None:
        refuse_unbreakable(plan.spec.policy, known_bounds(type(each.probe) for each in plan.probes))


def known_bounds(probes: Iterable[ProbeClass]) -> dict[str, Bounds]:
    """The least and the most that metrics of probes can be, by key; only of those that have such ends."""
    return {
        f"{probe.name}/{name}": ends
        for probe in probes
        for name in {*probe.bounds, *probe.shares}
        if (ends := probe.bounds_of(name)) is not None
    }


def metric_names(probe: Probe[Any]) -> frozenset[str]:
    """Last parts of the keys of a probe's metrics, as it names them when it has no rows; none where it cannot."""
    empty = pd.DataFrame(columns=list(probe.Row.to_schema().columns))
    try:
        return frozenset(metric.key for metric in guarded(lambda: probe.measure(empty)))
    except PluginError:
        return frozenset()


def _chosen(spec: AuditSpec, found: Found) -> list[tuple[ProbeClass, ProbeSpec]]:
    """Each probe once; an entry that names the probe wins over one that names its suite."""
    suites = sorted({name.split("/")[0] for name in found.probes})
    wanted = spec.probes or tuple(ProbeSpec(name=suite) for suite in suites)
    chosen: dict[str, tuple[ProbeClass, ProbeSpec]] = {}
    for entry in wanted:
        for probe_class in pick(found, entry.name):
            named = entry.name == probe_class.name
            if not named and (entry.params or entry.data):
                raise UsageError(f"probes: {entry.name!r} is a suite; params and data belong to one probe, name it")
            if named or probe_class.name not in chosen:
                chosen[probe_class.name] = (probe_class, entry)
    return list(chosen.values())


def _plan_probe(spec: AuditSpec, info: CheckpointInfo, probe_class: ProbeClass, wanted: ProbeSpec) -> PlannedProbe:
    params = validated(probe_class.Params, wanted.params, f"params of {probe_class.name}")
    probe = probe_class(params)
    unknown = sorted(set(wanted.data) - set(probe.inputs))
    if unknown:
        raise UsageError(
            f"{probe.name}: no input is called {unknown[0]!r}; it reads {sorted(probe.inputs) or 'nothing'}"
        )
    given = {name: source for name, source in {**spec.data, **wanted.data}.items() if name in probe.inputs}
    try:
        data = _datasets(probe, {**probe.default_data(info), **given})
        cases = _cases(probe, Plan(info, spec.seed, data))
        if not cases:
            raise DataError(f"{probe.name}: the data give no case; see `assay probes {probe.name}` for what it needs")
    except DataError as error:
        if given or wanted.name == probe.name:
            raise
        raise _NoDefaultError(str(error)) from error
    limit = wanted.limit or spec.limits.cases
    return PlannedProbe(probe, sample_cases(cases, limit, spec.seed), len(cases), data, _notes(info, data))


def _notes(info: CheckpointInfo, data: Mapping[str, Dataset]) -> dict[str, str]:
    """How the labels of each dataset were read as classes; nothing of those that are names or no labels."""
    if len(info.labels) < 2:
        return {}
    found = {name: each.labels.note(info.labels) for name, each in data.items() if "label" in each.frame}
    return {name: note for name, note in found.items() if note}


def _cases(probe: Probe[Any], plan: Plan) -> list[Case]:
    """The probe's cases. Raises AssayError as the probe does; AuditError for anything else: its fault, named."""
    try:
        return probe.cases(plan)
    except (AssayError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plug-in may raise anything, sys.exit included
        why = f"{type(error).__name__}: {error}"
        raise AuditError(f"{probe.name}: gave no cases ({why}); this is a fault of the probe") from error


def _datasets(probe: Probe[Any], sources: Mapping[str, DataSource]) -> dict[str, Dataset]:
    data: dict[str, Dataset] = {}
    for name, need in probe.inputs.items():
        if name in sources:
            data[name] = load_dataset(sources[name], need.schema)
        elif need.required:
            raise DataError(f"{probe.name}: no data for {name!r} ({need.what}); give data: {{{name}: <source>}}")
    return data
