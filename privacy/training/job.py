"""One training run, checked and ready to start."""

from __future__ import annotations

from dataclasses import dataclass

from harness.api.progress import OnStep
from harness.checkpoint import CheckpointInfo
from privacy.training.data.load import TrainingData
from privacy.training.settings.spec import TrainSpec


@dataclass(frozen=True, slots=True)
class Job:
    """What is trained, on what."""

    spec: TrainSpec
    base: CheckpointInfo | None
    """None where the model is made from scratch."""
    data: TrainingData
    limit: int
    """Tokens that records are cut at."""
    on_step: OnStep
    started: float
    """time.monotonic() when the command began."""
