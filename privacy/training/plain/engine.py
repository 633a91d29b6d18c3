"""The seam between the training loop and how one optimizer step is taken; differential privacy plugs in here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch

from privacy.training.data.batches import LogicalBatch
from privacy.training.models.objective import ExampleLosses


class StepEngine(Protocol):
    """Takes optimizer steps. The loop owns the order of records, the schedule and the reports; nothing else."""

    def prepare(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, loader: Iterable[LogicalBatch]
    ) -> Iterable[LogicalBatch]:
        """Take over the model and its optimizer; return the batches on the right device."""
        ...

    def step(self, batch: LogicalBatch) -> float:
        """One optimizer step; returns the mean loss of the batch's records before it, nats."""
        ...


class PlainEngine:
    """The gradient of the mean loss, accumulated over the parts of the batch, clipped as a whole."""

    def __init__(self, accelerator: Any, losses: ExampleLosses, max_grad_norm: float | None) -> None:
        self._accelerator = accelerator
        self._losses = losses
        self._max_grad_norm = max_grad_norm

    def prepare(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, loader: Iterable[LogicalBatch]
    ) -> Iterable[LogicalBatch]:
        """See StepEngine."""
        prepared: Iterable[LogicalBatch]
        self._model, self._optimizer, prepared = self._accelerator.prepare(model, optimizer, loader)
        return prepared

    def step(self, batch: LogicalBatch) -> float:
        """See StepEngine."""
        records = sum(len(part["input_ids"]) for part in batch)
        losses = []
        for part in batch:
            loss = self._losses(self._model, part).sum() / records
            self._accelerator.backward(loss)
            losses.append(loss.detach())
        if self._max_grad_norm is not None:
            self._accelerator.clip_grad_norm_(self._model.parameters(), self._max_grad_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return float(sum(torch.stack(losses).tolist()))  # read once: a device is waited for each time
