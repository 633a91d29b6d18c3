"""What a job needs in the process that runs it: its probe and its scorer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from harness.api.job import SUBJECT, Job, ModelSource
from harness.api.permissions import NOTHING, Permissions
from harness.api.probe import Probe
from harness.api.registry import Found, find_probes, pick
from harness.api.scorer import Scorer
from harness.base.validation import validated
from harness.errors import UsageError


class Bench(Protocol):
    """Finds what a job names."""

    def probe(self, job: Job) -> Probe[Any]:
        """The probe with the job's params."""
        ...

    def scorer(self, job: Job) -> Scorer:
        """The scorer of the job's subject."""
        ...


class AtHand:
    """In the process that planned: probes and model are there."""

    def __init__(self, probes: Iterable[Probe[Any]], scorer: Scorer) -> None:
        self._probes = {probe.name: probe for probe in probes}
        self._scorer = scorer

    def probe(self, job: Job) -> Probe[Any]:
        """The one planned."""
        return self._probes[job.probe]

    def scorer(self, _: Job) -> Scorer:
        """The one loaded."""
        return self._scorer


class FromSources:
    """In any other process: probes are looked up among those installed, models loaded. The last model stays loaded."""

    def __init__(self, found: Found | None = None, permissions: Permissions = NOTHING) -> None:
        self._found = found
        self._permissions = permissions
        self._loaded: tuple[ModelSource, Scorer] | None = None

    def probe(self, job: Job) -> Probe[Any]:
        """Raises UsageError where it is not installed here in the version that was planned with."""
        self._found = self._found or find_probes()
        if job.probe not in self._found.probes:
            pick(self._found, job.probe)  # says what is there instead
            raise UsageError(f"{job.probe!r} is a suite; a job names one probe")
        kind = self._found.probes[job.probe]
        if kind.version != job.version:
            raise UsageError(
                f"{job.probe}: version {kind.version} is installed, the job was planned with {job.version}; "
                "install that"
            )
        return kind(validated(kind.Params, job.params, f"params of {job.probe}"))

    def scorer(self, job: Job) -> Scorer:
        """Raises UsageError where the checkpoint found is not the one that was planned for."""
        wanted = job.models[SUBJECT]
        if self._loaded is None or self._loaded[0] != wanted:
            self._loaded = None  # two models need not fit in memory
            self._loaded = wanted, self._load(wanted)
        return self._loaded[1]

    def _load(self, wanted: ModelSource) -> Scorer:
        from harness.checkpoint import inspect_checkpoint, load_checkpoint
        from harness.scorer.hf import HFScorer
        from harness.scorer.kept import KEPT_BYTES

        info = inspect_checkpoint(wanted.source, self._permissions)
        if info.fingerprint.digest != wanted.fingerprint:
            raise UsageError(
                f"{wanted.source.source}: has the fingerprint {info.fingerprint.digest[:12]} here, the job was planned "
                f"for {wanted.fingerprint[:12]}; give this machine the same checkpoint"
            )
        return HFScorer(load_checkpoint(info, device=wanted.device, dtype=wanted.dtype), keep_bytes=KEPT_BYTES)
