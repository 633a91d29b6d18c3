"""One training run, checked and ready to start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.checkpoint import CheckpointInfo
from privacy.training.data import TrainingData
from privacy.training.spec import TrainSpec

OnStep = Callable[[int, int, float], None]
"""Called after each optimizer step with: steps taken, steps planned, mean loss of the last steps, nats per record.

Before the first step the loss is no number, and the counts are of records read by a frozen model; 0 of 0 while records
are compared alone and together.
"""


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
