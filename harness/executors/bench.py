"""What a job needs in the process that runs it: its probe and its models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from harness.api.job import SUBJECT, Job, JobModel
from harness.api.models import Models
from harness.api.permissions import NOTHING, Permissions
from harness.api.probe import Probe
from harness.api.registry import Found, find_probes, pick
from harness.api.scorer import Counts, Scorer
from harness.base.validation import validated
from harness.errors import UsageError


class Bench(Protocol):
    """Finds what a job names."""

    def probe(self, job: Job) -> Probe[Any]:
        """The probe with the job's params, among its models."""
        ...

    def scorer(self, job: Job) -> Scorer:
        """The scorer of the job's subject."""
        ...

    def counts(self, job: Job) -> dict[str, Counts]:
        """Work done so far by the model of each role."""
        ...


class AtHand:
    """In the process that planned: the probe is bound, the model loaded; `others` tells the work of other models."""

    def __init__(self, probe: Probe[Any], scorer: Scorer, others: Callable[[], Mapping[str, Counts]] = dict) -> None:
        self._probe = probe
        self._scorer = scorer
        self._others = others

    def probe(self, _: Job) -> Probe[Any]:
        """The one given."""
        return self._probe

    def scorer(self, _: Job) -> Scorer:
        """The one given."""
        return self._scorer

    def counts(self, _: Job) -> dict[str, Counts]:
        """Of the subject, and as `others` tells."""
        return {SUBJECT: self._scorer.counts + Counts(), **self._others()}


class FromSources:
    """In any other process: probes are looked up among those installed, models loaded, and kept for the next job.

    `permissions` are for the audited checkpoint alone, as in an audit.
    """

    def __init__(self, found: Found | None = None, permissions: Permissions = NOTHING) -> None:
        self._found = found
        self._permissions = permissions
        self._loaded: dict[JobModel, Scorer] = {}

    def probe(self, job: Job) -> Probe[Any]:
        """Raises UsageError where it is not installed here in the version that was planned with."""
        self._found = self._found or find_probes()
        probe = installed_probe(self._found, job)
        others = {role: partial(self._scorer, job, role) for role in job.models if role != SUBJECT}
        return probe.within(Models(self.scorer(job), others), job.kept)

    def scorer(self, job: Job) -> Scorer:
        """Raises UsageError where the checkpoint found is not the one that was planned for."""
        return self._scorer(job, SUBJECT)

    def counts(self, job: Job) -> dict[str, Counts]:
        """Of each model that is loaded, by the first of its roles."""
        first = {model: role for role, model in reversed(list(job.models.items()))}
        return {role: self._loaded[model].counts + Counts() for model, role in first.items() if model in self._loaded}

    def _scorer(self, job: Job, role: str) -> Scorer:
        wanted = job.models[role]
        if wanted not in self._loaded:
            asked = set(job.models.values())  # models of the job before need not fit beside those of this one
            self._loaded = {model: scorer for model, scorer in self._loaded.items() if model in asked}
            self._loaded[wanted] = _load(wanted, self._permissions if role == SUBJECT else NOTHING)
        return self._loaded[wanted]


def installed_probe(found: Found, job: Job) -> Probe[Any]:
    """The probe of a job with its params. Raises UsageError where it is not installed as it was planned with."""
    if job.probe not in found.probes:
        pick(found, job.probe)  # says what is there instead
        raise UsageError(f"{job.probe!r} is a suite; a job names one probe")
    kind = found.probes[job.probe]
    if kind.version != job.version:
        raise UsageError(
            f"{job.probe}: version {kind.version} is installed, the job was planned with {job.version}; install that"
        )
    return kind(validated(kind.Params, job.params, f"params of {job.probe}"))


def _load(wanted: JobModel, permissions: Permissions) -> Scorer:
    from harness.checkpoint import inspect_checkpoint, load_checkpoint
    from harness.scorer.cache.kept import KEPT_BYTES
    from harness.scorer.hf import HFScorer

    info = inspect_checkpoint(wanted.source, permissions)
    if info.fingerprint.digest != wanted.fingerprint:
        raise UsageError(
            f"{wanted.source.source}: has the fingerprint {info.fingerprint.digest[:12]} here, the job was planned "
            f"for {wanted.fingerprint[:12]}; give this machine the same checkpoint"
        )
    return HFScorer(load_checkpoint(info, device=wanted.device, dtype=wanted.dtype), keep_bytes=KEPT_BYTES)
