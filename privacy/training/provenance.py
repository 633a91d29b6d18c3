"""The training manifest of what was trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version

from harness.data.datasets import Dataset
from harness.provenance.artefacts import Artefact
from harness.provenance.keys import Keys, keyed
from harness.provenance.manifest import PlantedCanaries, PrivacyClaim, TrainingManifest
from harness.record.environment import package_versions
from privacy.canaries.store import canary_artefacts
from privacy.training.job import Job
from privacy.training.models.memory import peak_memory
from privacy.training.run import Trained


def make_manifest(
    job: Job,
    trained: Trained,
    weights: str,
    history: Artefact,
    privacy: PrivacyClaim | None = None,
    keys: Keys | None = None,
) -> TrainingManifest:
    """Provenance of what was trained.

    Args:
        job: what was asked for.
        trained: what came of it.
        weights: their digest.
        history: the digests of single records.
        privacy: the claim.
        keys: the key of the digests of all records together.
    """
    spec, base, data = job.spec, job.base, job.data
    held_out = data.non_members

    def digest(records: Dataset) -> str:
        return keyed(records.digest, keys.own_key) if keys else records.digest

    return TrainingManifest(
        task=spec.task,
        objective=trained.objective,
        base=base.source.source if base else None,
        base_fingerprint=base.fingerprint.digest if base else None,
        weights=weights,
        members=data.listed.source,
        members_digest=digest(data.listed),
        members_n=len(data.listed),
        non_members=held_out.source if held_out else None,
        non_members_digest=digest(held_out) if held_out else None,
        non_members_n=len(held_out) if held_out else 0,
        digest_key=keys.own if keys else None,
        label_names=data.label_names,
        seed=spec.seed,
        config=spec.canonical(),
        steps=trained.steps,
        losses=trained.losses,
        seconds=time.monotonic() - job.started,
        peak_memory=peak_memory(),
        device=trained.device,
        versions={**package_versions(), "accelerate": version("accelerate")},
        quantized=trained.quantized,
        canaries=_planted(job, digest),
        artefacts=(history, *(canary_artefacts(spec.output, spec.digest()) if data.planted else ())),
        privacy=privacy,
    )


def _planted(job: Job, digest: Callable[[Dataset], str]) -> PlantedCanaries | None:
    planted, asked = job.data.planted, job.spec.canaries
    if planted is None or asked is None:
        return None
    return PlantedCanaries(
        count=asked.count,
        records=planted.count,
        digest=digest(job.data.members),
    )
