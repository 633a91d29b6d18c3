"""Plans an audit: which probes apply, on which cases of which data. Reads no weights into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa

from harness.api.case import Case, sample_cases
from harness.api.declared import Named, named_metrics
from harness.api.metrics import Bounds, Metric
from harness.api.probe import Plan, Probe
from harness.api.registry import Found, ProbeClass, find_probes, pick
from harness.audit.models import Inspect, InspectAllowed, PlannedModel, check_roles, infos_of, inspector, plan_models
from harness.audit.spec import AuditSpec, ProbeSpec, cache_of
from harness.audit.told import are_counts, by_name, is_count, told
from harness.base.garbage import old_objects_left_alone
from harness.base.hints import did_you_mean
from harness.base.plugins import PluginError, guarded
from harness.base.validation import validated
from harness.checkpoint import NOTHING, CheckpointInfo, Permissions, inspect_checkpoint
from harness.data.datasets import Dataset, DataSource, load_dataset
from harness.errors import (
    AssayError,
    AuditError,
    DataError,
    NoDataError,
    NotApplicableError,
    UsageError,
    WrongDataError,
)
from harness.gate.bounds import refuse_unbreakable
from harness.gate.power import GatePower, Planned, plan_power


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
    models: Mapping[str, PlannedModel] = field(default_factory=dict)
    """Other models by role; a role that need not have one may lack."""

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
    """Probe -> why the checkpoint, its tokenizer or the kind of data given cannot serve it."""
    plugin_errors: Mapping[str, str]
    no_data: Mapping[str, str] = field(default_factory=dict)
    """Probe -> what it was not given: nobody looked, though something could have been measured."""
    left_out: tuple[str, ...] = ()
    """Installed probes that the spec does not ask for."""

    @property
    def not_planned(self) -> dict[str, str]:
        """Probe -> why it is not planned, whatever the kind of reason."""
        return {**self.not_applicable, **self.no_data}

    @property
    def unused(self) -> list[str]:
        """Datasets and models of the whole spec that no planned probe has use for, as keys of the spec."""
        sources = [data.source for each in self.probes for data in each.data.values()]  # one file may have two names
        read = {name for each in self.probes for name in each.data}
        asked = {role for each in self.probes for role in each.models}
        data = [f"data.{name}" for name, source in self.spec.data.items() if name not in read and source not in sources]
        return data + [f"models.{role}" for role in self.spec.models if role not in asked]


@old_objects_left_alone()
def make_plan(
    spec: AuditSpec,
    found: Found | None = None,
    *,
    permissions: Permissions = NOTHING,
    inspect: InspectAllowed | None = None,
) -> AuditPlan:
    """Plan `spec` under what the user allows the checkpoint.

    `inspect` stands in for `inspect_checkpoint`: a dry run may go by what was found before.

    A probe that was reached through its suite and cannot take the data of the whole spec does not apply; asked for by
    name, that is an error.

    Raises UsageError: unknown probe, bad params, bad data, or no probe that applies.
    """
    found = found or find_probes()
    chosen = _chosen(spec, found)
    _check_data(spec, found)
    check_roles(spec, found)
    look = inspect or inspect_checkpoint
    info, others = look(spec.checkpoint, permissions), inspector(look)
    planned: list[PlannedProbe] = []
    not_applicable: dict[str, str] = {}
    no_data: dict[str, str] = {}
    broken: dict[str, str] = {}
    for probe_class, wanted in chosen:
        name = probe_class.name
        try:
            why = _why_not(probe_class, info)
            if why is None:
                planned.append(_plan_probe(spec, info, probe_class, wanted, others))
            elif _needs_met(probe_class, info):
                no_data[name] = why  # a package or resource that this machine lacks says nothing of the checkpoint
            else:
                not_applicable[name] = why
        except PluginError as error:
            broken[name] = str(error)
        except NotApplicableError as error:
            not_applicable[name] = _unnamed(error, name)
        except NoDataError as error:
            if wanted.name == name:
                raise
            no_data[name] = _unnamed(error, name)
    if not planned:
        left = {**not_applicable, **no_data, **broken}
        reasons = "; ".join(f"{name}: {why}" for name, why in left.items()) or "none is installed"
        about = "".join(f"; {note.removesuffix('.')}" for note in info.notes)
        raise UsageError(f"{spec.checkpoint.source}: no probe applies ({reasons}){about}")
    _check_prepared(spec, info, planned)
    left_out = tuple(sorted(set(found.probes) - {probe_class.name for probe_class, _ in chosen}))
    return AuditPlan(spec, info, tuple(planned), not_applicable, {**found.errors, **broken}, no_data, left_out)


def _unnamed(error: Exception, name: str) -> str:
    """What an error says without the probe's name before it, where it is listed under that name."""
    return str(error).removeprefix(f"{name}: ")


def _why_not(probe_class: ProbeClass, info: CheckpointInfo) -> str | None:
    """Why the checkpoint cannot serve a probe, with what its tokenizer lacks. Raises PluginError as the probe fails."""
    try:
        why = guarded(lambda: probe_class.why_not(info.offers))
    except PluginError as error:
        raise PluginError(f"it could not say whether it applies ({error})") from error
    if not isinstance(why, str | None):
        raise PluginError(f"it could not say whether it applies (why_not gave {repr(why)[:60]}, no text)")
    if why is None:
        return None
    needed = {need for group in probe_class.needs for need in group}
    lacking = [each for need, each in info.lacks.items() if need in needed]
    return f"{why} ({'; '.join(lacking)})" if lacking else why


def _needs_met(probe_class: ProbeClass, info: CheckpointInfo) -> bool:
    """Whether the checkpoint offers all that the probe declares, so that what is in the way is something else."""
    return all(group & info.offers for group in probe_class.needs)


def _check_data(spec: AuditSpec, found: Found) -> None:
    """Raises UsageError for a dataset of the whole spec that no probe reads: a misspelt name would be ignored."""
    inputs = sorted({name for probe in found.probes.values() for name in probe.inputs})
    unknown = sorted(set(spec.data) - set(inputs))
    if unknown:
        hint = did_you_mean(unknown[0], inputs)
        raise UsageError(f"data: no probe reads {unknown[0]!r}; they read {inputs or 'nothing'}{hint}")


def _check_prepared(spec: AuditSpec, info: CheckpointInfo, planned: Sequence[PlannedProbe]) -> None:
    """Raises UsageError for a folder of prepared state or answers that may have come with a checkpoint."""
    folders = {"prepared": spec.prepared, "cache": None if spec.cache == "audit" else cache_of(spec, Path())}
    for key, folder in folders.items():
        if folder is not None:
            _check_folder(key, folder, info, planned)


def _check_folder(key: str, folder: Path, info: CheckpointInfo, planned: Sequence[PlannedProbe]) -> None:
    for each in (info, *(one for probe in planned for one in infos_of(info, probe.models))):
        if each.holds(folder):
            raise UsageError(
                f"{key}: {folder} lies in the folder of {each.source.source}, and what comes with a "
                "checkpoint is not trusted; name another folder"
            )


def power_of(plan: AuditPlan, earlier: Sequence[Metric] = ()) -> list[GatePower]:
    """What the planned cases can decide of each gate of the spec's policy; empty without one.

    `earlier` are the metrics of an audit to go by.
    """
    if plan.spec.policy is None:
        return []
    planned = {
        each.probe.name: Planned(len(each.cases), metric_names(each.probe), _shares(each.probe)) for each in plan.probes
    }
    return plan_power(plan.spec.policy, planned, plan.not_planned, earlier)


def check_rules(plan: AuditPlan) -> None:
    """Raises UsageError for a gate of the spec's policy with a rule that no value of a planned metric can break."""
    if plan.spec.policy is not None:
        refuse_unbreakable(plan.spec.policy, known_bounds(type(each.probe) for each in plan.probes))


def known_bounds(probes: Iterable[ProbeClass]) -> dict[str, Bounds]:
    """The least and the most that metrics of probes can be, by key; only of those that have such ends."""
    return {
        f"{probe.name}/{key}": named.ends
        for probe in probes
        for key, named in named_metrics(probe.usual()).items()
        if named.ends is not None
    }


def metric_names(probe: Probe[Any]) -> frozenset[str]:
    """Last parts of the keys of a probe's metrics, as declared, or as measured without rows; none where it cannot."""
    if declared := probe.named():
        return frozenset(declared)
    empty = pd.DataFrame(columns=list(probe.Row.to_schema().columns))
    try:
        return guarded(lambda: frozenset(metric.key for metric in probe.measure(empty)))
    except PluginError:
        return frozenset()


def _shares(probe: Probe[Any]) -> frozenset[str]:
    return frozenset(key for key, named in probe.named().items() if named.is_share)


def _chosen(spec: AuditSpec, found: Found) -> list[tuple[ProbeClass, ProbeSpec]]:
    """Each probe once; an entry that names the probe wins over one that names its suite."""
    suites = sorted({name.split("/")[0] for name in found.probes})
    wanted = spec.probes or tuple(ProbeSpec(name=suite) for suite in suites)
    chosen: dict[str, tuple[ProbeClass, ProbeSpec]] = {}
    for entry in wanted:
        for probe_class in pick(found, entry.name):
            named = entry.name == probe_class.name
            if not named and (entry.params or entry.data or entry.models):
                raise UsageError(
                    f"probes: {entry.name!r} is a suite; params, data and models belong to one probe, name it"
                )
            if named or probe_class.name not in chosen:
                chosen[probe_class.name] = (probe_class, entry)
    return list(chosen.values())


def _plan_probe(
    spec: AuditSpec, info: CheckpointInfo, probe_class: ProbeClass, wanted: ProbeSpec, inspect: Inspect
) -> PlannedProbe:
    own = {"seed": spec.seed} if "seed" in probe_class.Params.model_fields else {}
    params = validated(probe_class.Params, {**own, **wanted.params}, f"params of {probe_class.name}")
    probe = told("constructor", lambda: probe_class(params), lambda made: isinstance(made, probe_class))
    told("declared", probe.named, by_name(Named))
    _check_columns(probe)
    unknown = sorted(set(wanted.data) - set(probe.inputs))
    if unknown:
        raise UsageError(
            f"{probe.name}: no input is called {unknown[0]!r}; it reads {sorted(probe.inputs) or 'nothing'}"
        )
    given = {name: source for name, source in {**spec.data, **wanted.data}.items() if name in probe.inputs}
    data: Mapping[str, Dataset] = {}
    try:
        data = _datasets(probe, info, given)
        cases = _cases(probe, Plan(info, spec.seed, data))
        if not cases:
            raise DataError(f"{probe.name}: the data give no case; see `assay probes {probe.name}` for what it needs")
    except DataError as error:
        raise _come_to(error, by_name=wanted.name == probe.name, given=given.keys(), read=data.keys()) from error
    limit = wanted.limit or spec.limits.cases
    models = plan_models(spec, probe, wanted, inspect)
    told("cost", lambda: probe.cost(cases), is_count)
    told("model_costs", lambda: probe.model_costs(cases) if models else {}, are_counts)
    return PlannedProbe(probe, sample_cases(cases, limit, spec.seed), len(cases), data, _notes(info, data), models)


def _check_columns(probe: Probe[Any]) -> None:
    """Raises PluginError for a metric of a column that no row will have: said now, not once all cases are asked."""
    there = [*probe.Row.to_schema().columns]
    for each in probe.declared():
        lacking = [name for name in each.columns if name not in (*there, "case_id", "status", "error")]
        if lacking:
            raise PluginError(
                f"its metric {each.named[0].key!r} reads the column {lacking[0]!r}, which its rows lack"
                + did_you_mean(lacking[0], there)
            )


def _come_to(error: DataError, *, by_name: bool, given: Collection[str], read: Collection[str]) -> AssayError:
    """What data that a probe cannot take come to.

    An error: for a probe asked for by name, and where data that were given cannot be read or are wrong (a label that is
    no class), which the user has to mend. No data: where none were given that the probe could take. Else it has read
    nothing but what was given, which is of another kind: not applicable.
    """
    if by_name or isinstance(error, NoDataError):
        return error
    if not given or set(read) - set(given):
        return NoDataError(str(error))
    if isinstance(error, WrongDataError) or not read:
        return error
    return NotApplicableError(str(error))


def _notes(info: CheckpointInfo, data: Mapping[str, Dataset]) -> dict[str, str]:
    """How the labels of each dataset were read as classes; nothing of those that are names or no labels."""
    if len(info.labels) < 2:
        return {}
    found = {name: each.labels.note(info.labels) for name, each in data.items() if "label" in each.frame}
    return {name: note for name, note in found.items() if note}


def _cases(probe: Probe[Any], plan: Plan) -> list[Case]:
    """The probe's cases. Raises AssayError as the probe does; AuditError for anything else: its fault, named."""
    try:
        return told("cases", lambda: list(probe.cases(plan)), lambda made: all(isinstance(c, Case) for c in made))
    except PluginError as error:
        raise AuditError(f"{probe.name}: gave no cases ({error}); this is a fault of the probe") from error


def _datasets(probe: Probe[Any], info: CheckpointInfo, given: Mapping[str, DataSource]) -> dict[str, Dataset]:
    """What the probe reads. Raises DataError where what was given cannot be read, NoDataError for the rest."""
    try:
        own = told("default_data", lambda: probe.default_data(info), by_name(DataSource))
    except DataError as error:
        raise NoDataError(str(error)) from error
    sources = {**own, **given}
    data: dict[str, Dataset] = {}
    for name, need in probe.inputs.items():
        if name in given:
            data[name] = load_dataset(given[name], need.schema)
        elif name in sources:
            data[name] = _its_own(sources[name], need.schema)
        elif need.required:
            raise NoDataError(f"{probe.name}: no data for {name!r} ({need.what}); give data: {{{name}: <source>}}")
    return data


def _its_own(source: DataSource, schema: type[pa.DataFrameModel]) -> Dataset:
    try:
        return load_dataset(source, schema)
    except DataError as error:
        raise NoDataError(str(error)) from error
