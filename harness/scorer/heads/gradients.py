"""d loss / d input embeddings of a sequence classifier, in batches, with the weights left as they are.

The embedding layer's output becomes the leaf that is differentiated, so positions, scaling and whatever the model makes
of its token ids stay its own. The loss is summed over the rows of a batch, never averaged: each row's gradient is what
it would be alone. Computed in the model's own dtype, so in half precision small gradients are lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from harness.api.needs import Need
from harness.api.scorer import Floats, Floats32, GradientRequest, InputGradient, Loss, TextRequest
from harness.errors import UsageError
from harness.scorer.answers import NON_FINITE
from harness.scorer.forward.engine import Side
from harness.scorer.forward.memory import is_out_of_memory
from harness.scorer.forward.pooled import as_read
from harness.scorer.handler import Handler, Parts
from harness.scorer.tokenization.texts import TextRow, to_input

_MEMORY = 8
"""A token whose activations are kept for the way back takes about so many times what it takes a forward pass."""
_CHUNK = 4096
"""Embeddings read at once."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one pass gave: losses [rows], logits [rows, labels], and each row's gradient [positions, width]."""

    losses: Floats
    logits: Floats
    gradients: list[Floats32]


class InputGradients(Handler[GradientRequest, InputGradient]):
    """Gradients through a classifier, which reads what is classified."""

    asked = (GradientRequest,)
    kind = "input_gradients"
    needs = Need.SEQUENCE_CLASSIFIER
    gradients = True

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._classes = parts.classes
        self._model, _ = parts.poolable

    @cached_property
    def why_not(self) -> str | None:
        """Why the model gives no gradients by its input embeddings, found out by trying; None where it does."""
        model, layer = self.engine.model, self.engine.model.get_input_embeddings()
        if _is_quantised(model):
            return "its weights are quantised, so no gradient passes; audit the unquantised checkpoint"
        if not isinstance(layer, torch.nn.Embedding):
            return f"its input embeddings are a {type(layer).__name__}, not a torch.nn.Embedding"
        try:
            with torch.inference_mode(False), torch.enable_grad():
                self._pass(self._classes.rows([TextRequest("a b")]), torch.tensor([0]), [Loss.LOGIT])
        except RuntimeError as error:  # what torch raises where nothing links the loss to the embeddings
            if is_out_of_memory(error):
                raise
            return f"no gradient reaches its input embeddings ({str(error).splitlines()[0]})"
        return None

    def run(self, requests: Sequence[GradientRequest]) -> list[InputGradient]:
        """One answer per request, in order. Raises UsageError for a class, loss or position that is not there."""
        rows = self._classes.rows([request.input for request in requests])
        self._check(requests, rows)
        self.engine.count(self.kind).truncated_rows += sum(row.truncated > 0 for row in rows)
        answers = {
            index: _failed(row, why) for index, row in enumerate(rows) if (why := self._classes.refuse(row)) is not None
        }
        todo = [index for index in range(len(rows)) if index not in answers]
        lengths = [len(rows[index].ids) for index in todo]

        def work(batch: list[int]) -> _Batch:
            return self._differentiate([rows[todo[n]] for n in batch], [requests[todo[n]] for n in batch])

        side = self._classes.side
        for batch, found in self.engine.forwards(self.kind, lengths, work, side=side, memory=_MEMORY):
            for at, number in enumerate(batch):
                row = rows[todo[number]]
                answers[todo[number]] = (
                    _failed(row, self.engine.too_big(lengths[number])) if found is None else _answer(row, found, at)
                )
        return [answers[index] for index in range(len(rows))]

    def embeddings(self) -> Floats32:
        """What the embedding layer gives for each token (its scaling included), [vocabulary, width]."""
        layer = self.engine.model.get_input_embeddings()
        with torch.inference_mode():
            chunks = torch.split(torch.arange(self.engine.vocabulary, device=self.engine.device), _CHUNK)
            return np.concatenate([layer(chunk).float().cpu().numpy() for chunk in chunks])

    def _check(self, requests: Sequence[GradientRequest], rows: Sequence[TextRow]) -> None:
        classes = int(self.engine.model.config.num_labels)
        for request, row in zip(requests, rows, strict=True):
            if not 0 <= request.label < classes:
                raise UsageError(f"a gradient for class {request.label} was asked for; the model has {classes} classes")
            if request.loss is Loss.OF_OTHERS and classes < 2:
                raise UsageError("a gradient for the other classes was asked for; the model has one class")
            outside = [place for place in request.positions or () if not 0 <= place < len(row.ids)]
            if outside:
                raise UsageError(f"a gradient at position {outside[0]} was asked for; the input has {len(row.ids)}")

    def _differentiate(self, rows: Sequence[TextRow], requests: Sequence[GradientRequest]) -> _Batch:
        labels = torch.tensor([request.label for request in requests])
        losses, logits, gradient = self._pass(rows, labels, [request.loss for request in requests])
        side = self._classes.side
        starts = [gradient.shape[1] - len(row.ids) if side is Side.LEFT else 0 for row in rows]
        places = [
            [start + place for place in (range(len(row.ids)) if request.positions is None else request.positions)]
            for row, request, start in zip(rows, requests, starts, strict=True)
        ]
        found: Floats32 = gradient.float().cpu().numpy()  # all at once: a device is slow to give many small pieces
        return _Batch(
            losses.double().cpu().numpy(),
            logits.double().cpu().numpy(),
            [found[at, where] for at, where in enumerate(places)],
        )

    def _pass(
        self, rows: Sequence[TextRow], labels: torch.Tensor, losses: Sequence[Loss]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Losses [rows], logits [rows, labels], gradient [rows, longest, width]. Raises RuntimeError without a path."""
        model = self.engine.model
        inputs = self._classes.inputs(rows, self._classes.side)
        with _frozen(model), _leaf_of(model.get_input_embeddings()) as leaves:
            logits = self._model(**inputs).logits.float()
            each = losses_of(logits, labels.to(logits.device), losses)
            if len(leaves) != 1:
                raise RuntimeError(f"the embedding layer is read {len(leaves)} times, not once")
            read, leaf = leaves[0]
            (gradient,) = torch.autograd.grad(each.sum(), leaf)
        return (
            each.detach(),
            logits.detach(),
            _rows_first(gradient, read, as_read(inputs["input_ids"], self.engine.vocabulary)),
        )


def _rows_first(gradient: torch.Tensor, read: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Gradient [rows, longest, width] of a layer that `read` the ids, or as XLNet does, [longest, rows]."""
    if torch.equal(read, ids):
        return gradient
    if torch.equal(read, ids.T):
        return gradient.transpose(0, 1)
    raise RuntimeError("the embedding layer reads something else than the tokens of the input")


def losses_of(logits: torch.Tensor, labels: torch.Tensor, losses: Sequence[Loss]) -> torch.Tensor:
    """Each row's own loss at its label, [rows], from logits [rows, classes]."""
    own = logits.gather(1, labels[:, None])[:, 0]
    every = logits.logsumexp(1)
    kinds = {
        Loss.LOGIT: lambda: own,
        Loss.OF_CLASS: lambda: every - own,
        Loss.OF_OTHERS: lambda: every - _without(logits, labels).logsumexp(1),
    }
    found = {kind: kinds[kind]() for kind in dict.fromkeys(losses)}
    return torch.stack([found[kind][row] for row, kind in enumerate(losses)])


def _without(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Logits of the classes other than each row's label, [rows, classes - 1]."""
    others = torch.ones_like(logits, dtype=torch.bool).scatter(1, labels[:, None], False)
    return logits[others].view(len(logits), -1)


def _answer(row: TextRow, found: _Batch, at: int) -> InputGradient:
    gradient, loss, logits = found.gradients[at], float(found.losses[at]), found.logits[at]
    if not np.isfinite(logits).all():
        return _failed(row, NON_FINITE)
    if not np.isfinite(gradient).all() or not np.isfinite(loss):
        return _failed(row, "non-finite gradients")
    return InputGradient(to_input(row), gradient, loss, logits)


def _failed(row: TextRow, why: str) -> InputGradient:
    return InputGradient(to_input(row), np.empty((0, 0), dtype=np.float32), float("nan"), np.empty(0), why)


@contextmanager
def _frozen(model: Any) -> Iterator[None]:
    """No weight asks for a gradient inside, so none is computed and no activation is kept for one."""
    learnt = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in learnt:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in learnt:
            weight.requires_grad_(True)


@contextmanager
def _leaf_of(layer: torch.nn.Module) -> Iterator[list[tuple[torch.Tensor, torch.Tensor]]]:
    """Collects what the layer reads and puts out inside; what it puts out is cut off, to be differentiated by."""
    leaves: list[tuple[torch.Tensor, torch.Tensor]] = []

    def cut(_module: torch.nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        leaf = output.detach().requires_grad_(True)
        leaves.append((args[0] if args else torch.empty(0), leaf))
        return leaf

    handle = layer.register_forward_hook(cut)
    try:
        yield leaves
    finally:
        handle.remove()


def _is_quantised(model: Any) -> bool:
    """By transformers' own mark, by weights that are whole numbers, or by torch's modules with packed weights."""
    return (
        bool(getattr(model, "is_quantized", False))
        or any(not weight.is_floating_point() for weight in model.parameters())
        or any("quantized" in type(module).__module__ for module in model.modules())
    )
