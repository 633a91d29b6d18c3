"""The training manifest of what was trained."""

from __future__ import annotations

import time
from importlib.metadata import version

from harness.audit import package_versions
from harness.manifest import PrivacyClaim, TrainingManifest
from privacy.training.job import Job
from privacy.training.memory import peak_memory
from privacy.training.run import Trained


def make_manifest(job: Job, trained: Trained, weights: str, privacy: PrivacyClaim | None = None) -> TrainingManifest:
    """Provenance of what was trained; `weights` is their digest."""
    spec, base, data = job.spec, job.base, job.data
    held_out = data.non_members
    return TrainingManifest(
        task=spec.task,
        objective=trained.objective,
        base=base.source.source if base else None,
        base_fingerprint=base.fingerprint.digest if base else None,
        weights=weights,
        members=data.members.source,
        members_digest=data.members.digest,
        members_n=len(data.members),
        non_members=held_out.source if held_out else None,
        non_members_digest=held_out.digest if held_out else None,
        non_members_n=len(held_out) if held_out else 0,
        label_names=data.label_names,
        seed=spec.seed,
        config=spec.canonical(),
        steps=trained.steps,
        losses=trained.losses,
        seconds=time.monotonic() - job.started,
        peak_memory=peak_memory(),
        device=trained.device,
        versions={**package_versions(), "accelerate": version("accelerate")},
        privacy=privacy,
    )
