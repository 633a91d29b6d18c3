"""The training loop: optimizer, schedule, steps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from harness.api.progress import OnStep
from harness.errors import AuditError
from privacy.training.data.batches import LogicalBatch
from privacy.training.plain.engine import StepEngine
from privacy.training.records.progress import RunProgress, StepTotals
from privacy.training.settings.spec import TrainSpec

_SHOWN_LOSSES = 20
"""Steps that the loss shown while training is averaged over."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Learning rate as a share of its peak: linear warm-up, then as `after` says; decays reach zero after the end."""

    steps: int
    warmup: int
    after: str = "linear"

    @classmethod
    def of(cls, spec: TrainSpec, steps: int) -> Schedule:
        """The schedule of a run of `steps` optimizer steps."""
        return cls(steps, min(steps, math.ceil(spec.warmup_ratio * steps)), spec.schedule)

    def factor(self, step: int) -> float:
        """Share of the peak at `step`, counted from 0; never zero, so no step is wasted."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        left = (self.steps - step) / (self.steps - self.warmup)
        if self.after == "constant":
            return 1.0
        return left if self.after == "linear" else 0.5 - 0.5 * math.cos(math.pi * left)


def make_optimizer(model: torch.nn.Module, spec: TrainSpec) -> torch.optim.Optimizer:
    """As the spec names it; weight decay on matrices only: it would pull biases and norm weights to zero."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [value for value in trained if value.ndim > 1], "weight_decay": spec.weight_decay},
        {"params": [value for value in trained if value.ndim <= 1], "weight_decay": 0.0},
    ]
    if spec.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=spec.learning_rate, momentum=spec.momentum)
    return torch.optim.AdamW(groups, lr=spec.learning_rate)


def fit(
    engine: StepEngine,
    model: torch.nn.Module,
    loader: Iterable[LogicalBatch],
    spec: TrainSpec,
    sizes: list[int],
    on_step: OnStep,
    progress: RunProgress,
) -> list[float]:
    """Train `model` in place, one step per batch of `loader`; `sizes` are the records of each batch.

    `progress` gets each step. Returns the mean record loss of each epoch, nats. Raises AuditError when the loss stops
    being a number.
    """
    schedule = Schedule.of(spec, len(sizes))
    optimizer = make_optimizer(model, spec)
    model.train()
    losses: list[float] = []
    for step, batch in enumerate(engine.prepare(model, optimizer, loader)):
        rate, size = spec.learning_rate * schedule.factor(step), sizes[step]
        for group in optimizer.param_groups:
            group["lr"] = rate
        totals = StepTotals(step, rate, spec.max_grad_norm, drawn=size, finite=size, clipped=math.nan)
        loss = engine.step(batch)
        if not math.isfinite(loss):
            raise AuditError(
                f"the loss became {loss} at step {step + 1} of {len(sizes)}, nothing is saved; "
                f"lower learning_rate (now {spec.learning_rate:g}) or warm up longer"
            )
        totals.loss = loss * size
        progress.add(totals)
        losses.append(loss)
        shown = losses[-_SHOWN_LOSSES:]
        on_step(step + 1, len(sizes), sum(shown) / len(shown))
    return _epoch_means(losses, sizes, spec.epochs)


def _epoch_means(losses: list[float], sizes: list[int], epochs: int) -> list[float]:
    steps = len(sizes) // epochs
    means = []
    for start in range(0, len(sizes), steps):
        records = sizes[start : start + steps]
        total = sum(loss * size for loss, size in zip(losses[start : start + steps], records, strict=True))
        means.append(total / sum(records))
    return means
