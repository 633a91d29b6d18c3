"""The other models of an audit: which source has which role, checked while planning, loaded once, counted apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.api.checkpoint import CheckpointInfo, CheckpointSource
from harness.api.models import Device, Dtype, ModelRole, Models
from harness.api.probe import Probe
from harness.api.registry import Found
from harness.api.scorer import Counts, Scorer
from harness.audit.spec import AuditSpec, ModelSource, ProbeSpec
from harness.audit.told import by_name, told
from harness.base.hints import did_you_mean
from harness.checkpoint import NOTHING, Permissions, inspect_checkpoint, load_checkpoint
from harness.errors import CheckpointError, NoDataError, UsageError
from harness.record.folder import ModelRecord
from harness.scan.finding import ScanReport
from harness.scan.record import ScanRecord

Inspect = Callable[[CheckpointSource], CheckpointInfo]
"""What is known of a checkpoint, found out once per plan."""
InspectAllowed = Callable[[CheckpointSource, Permissions], CheckpointInfo]
"""The same under what the user allows it, as `inspect_checkpoint` finds it out."""
_COUNTED = ("rows", "tokens", "padded_tokens", "batches", "halvings", "truncated_rows", "reused", "cached", "seconds")


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """A model that has a role: checked, not loaded, and how it will be."""

    info: CheckpointInfo
    device: Device
    dtype: Dtype

    @property
    def key(self) -> tuple[str, str, str]:
        """Roles of the same key share what is loaded."""
        return self.info.fingerprint.digest, self.device, self.dtype

    def record(self, scans: Mapping[str, ScanReport]) -> ModelRecord:
        """For the manifest; `scans` by source."""
        info = self.info
        scan = scans.get(info.source.source)
        return ModelRecord(
            source=info.source.source,
            architecture=info.architecture,
            parameters=info.parameters,
            fingerprint=info.fingerprint.digest,
            device=self.device,
            dtype=self.dtype,
            notes=info.notes,
            isolation=info.isolation.sentence,
            scan=None if scan is None else ScanRecord.of(scan),
        )


def inspector(inspect_one: InspectAllowed = inspect_checkpoint) -> Inspect:
    """Inspects each source once.

    What the command line allows is allowed to the audited checkpoint alone: another model is held to safetensors, and
    none of its own code runs.
    """
    known: dict[str, CheckpointInfo] = {}

    def inspect(source: CheckpointSource) -> CheckpointInfo:
        key = source.model_dump_json()
        if key not in known:
            known[key] = inspect_one(source, NOTHING)
        return known[key]

    return inspect


def check_roles(spec: AuditSpec, found: Found) -> None:
    """Raises UsageError for a model of the whole spec whose role no probe has: a misspelt one would be ignored."""
    roles = sorted({role for probe in found.probes.values() for role in probe.models})
    unknown = sorted(set(spec.models) - set(roles))
    if unknown:
        raise UsageError(
            f"models: no probe asks a {unknown[0]!r}; they ask {', '.join(roles) or 'none beside the checkpoint'}"
            f"{did_you_mean(unknown[0], roles)}"
        )


def plan_models(spec: AuditSpec, probe: Probe[Any], wanted: ProbeSpec, inspect: Inspect) -> dict[str, PlannedModel]:
    """The model of each role of a probe, checked but not loaded.

    Raises NoDataError: a role without a model, or with one that cannot take it. UsageError: an unknown role, or a model
    that the spec names and that cannot be read.
    """
    roles = told("roles", probe.roles, by_name(ModelRole))
    unknown = sorted(set(wanted.models) - set(type(probe).models))
    if unknown:
        raise UsageError(
            f"{probe.name}: no model of it is called {unknown[0]!r}; it asks {sorted(roles) or 'the checkpoint alone'}"
        )
    if not roles:
        return {}
    given = {role: source for role, source in {**spec.models, **wanted.models}.items() if role in roles}
    left = {role for role in roles if role not in given}
    own = told("default_models", probe.default_models, by_name(CheckpointSource)) if left else {}
    planned: dict[str, PlannedModel] = {}
    for role, asked in roles.items():
        if role in given:
            planned[role] = _planned(spec, probe, role, given[role], inspect)
        elif role in own:
            try:
                planned[role] = _its_own(spec, probe, role, own[role], inspect)
            except NoDataError:
                if asked.required:
                    raise  # else the probe does without, and says so where it matters
        elif asked.required:
            raise NoDataError(f"{probe.name}: no model for {role!r} ({asked.what}); give models: {{{role}: <source>}}")
    return planned


def _its_own(spec: AuditSpec, probe: Probe[Any], role: str, source: CheckpointSource, inspect: Inspect) -> PlannedModel:
    """A model that the user did not choose: where it cannot be had, the probe lacks something, and no more."""
    try:
        return _planned(spec, probe, role, ModelSource.model_validate(source.model_dump()), inspect)
    except CheckpointError as error:
        raise NoDataError(f"{probe.name}: its own model for {role!r} cannot be used: {error}") from error


def _planned(spec: AuditSpec, probe: Probe[Any], role: str, given: ModelSource, inspect: Inspect) -> PlannedModel:
    asked: ModelRole = probe.roles()[role]
    try:
        info = inspect(given.checkpoint)
    except CheckpointError as error:
        raise CheckpointError(
            f"{probe.name}: the model for {role!r}: {error} (what the command line allows is for the audited "
            "checkpoint alone)"
        ) from error
    why = asked.why_not(info.offers)
    if why is not None:
        raise NoDataError(f"{probe.name}: the model for {role!r} ({asked.what}) is {info.source.source}; {why}")
    return PlannedModel(info, given.device or spec.device, given.dtype or asked.dtype or spec.dtype)


class OtherModels:
    """The other models of one audit in memory: each loaded when first asked, once, whatever its roles."""

    def __init__(self, cache: Path | None = None) -> None:
        """`cache`: the folder that keeps their answers."""
        self._cache = cache
        self._scorers: dict[tuple[str, str, str], Scorer] = {}

    def models(self, subject: Scorer, planned: Mapping[str, PlannedModel]) -> Models:
        """What a probe with these roles may ask."""
        return Models(subject, {role: partial(self._scorer, each) for role, each in planned.items()})

    def counts(self, planned: Mapping[str, PlannedModel]) -> dict[str, Counts]:
        """Work done so far by the model of each role, by the first of the roles that share one."""
        first = {each.key: role for role, each in reversed(list(planned.items()))}
        return {
            role: replace(self._scorers[key].counts) if key in self._scorers else Counts()
            for key, role in first.items()
        }

    def _scorer(self, planned: PlannedModel) -> Scorer:
        if planned.key not in self._scorers:
            from harness.scorer.cache.kept import KEPT_BYTES
            from harness.scorer.cache.store import store_for
            from harness.scorer.hf import HFScorer

            loaded = load_checkpoint(planned.info, device=planned.device, dtype=planned.dtype)
            store = store_for(self._cache, loaded)
            self._scorers[planned.key] = HFScorer(loaded, keep_bytes=KEPT_BYTES, store=store)
        return self._scorers[planned.key]


def work_between(before: Counts, after: Counts) -> dict[str, float]:
    """What was done between two counts, by the names of a WorkRecord."""
    return {name: getattr(after, name) - getattr(before, name) for name in _COUNTED}


def infos_of(subject: CheckpointInfo, planned: Mapping[str, PlannedModel]) -> list[CheckpointInfo]:
    """The checkpoint and the other models of a probe."""
    return [subject, *(each.info for each in planned.values())]


def distinct(planned: Iterable[Mapping[str, PlannedModel]]) -> list[PlannedModel]:
    """Each model once, in the order planned: what is in memory beside the checkpoint."""
    return list({each.key: each for models in planned for each in models.values()}.values())
