"""Frozen layers below the first that is trained are read once: what leaves them for each record, kept in memory.

A step then costs the layers that are trained, not all of them. What is kept depends on each record alone, as the check
before the first step has seen, is written nowhere, and has no dropout in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from privacy.sampling import micro_batches
from privacy.training.data.batches import Collator
from privacy.training.data.tokens import Encoded, Features
from privacy.training.models.memory import free_memory
from privacy.training.models.objective import model_inputs

BATCH = 32
"""Records that are read together."""
_CLOSE = 1e-4
"""Between class scores with the layers below and without: float32 sums in another order differ by less."""
_SHARE = 0.25
"""Of the device's memory that is free now; gradients and the optimizer want theirs."""
_TASKS = ("classification", "causal_lm")
"""A masked LM masks other tokens each time it sees a record."""


@dataclass(frozen=True, slots=True)
class Below:
    """Layers of a model that nothing trained comes before."""

    model: Any
    layers: Sequence[Any]
    """Those below the first that is trained."""
    first: Any
    """The first that is trained."""
    width: int
    """Numbers that it reads of a token."""
    parts: int = 0
    """Length of the tuple that a layer gives, whose first is the states; 0: it gives the states."""

    def given(self, states: torch.Tensor) -> Any:
        """The states as the last of the layers gives them."""
        return (states, *[None] * (self.parts - 1)) if self.parts else states


def find_below(model: Any, task: str, encoded: Encoded, collator: Collator, device: torch.device) -> Below | None:
    """The layers that may be read once; None where there are none, or what leaves them would not fit or not do.

    The model is moved to `device`. What is found was tried on three records: the model scores them alike without.
    """
    layers = _layers(model)
    if layers is None or task not in _TASKS or getattr(model, "is_gradient_checkpointing", False):
        return None
    trained = [place for place, layer in enumerate(layers) if any(each.requires_grad for each in layer.parameters())]
    first = min(trained, default=len(layers))
    if first in (0, len(layers)):
        return None
    model.to(device)
    below = Below(model, layers[:first], layers[first], model.config.hidden_size)
    if sum(encoded.lengths) * below.width * 4 > _SHARE * free_memory(device):
        return None
    return _tried(below, encoded.records[:3], collator, device)


def read_below(below: Below, records: Sequence[Features], collator: Collator, device: torch.device) -> torch.Tensor:
    """What leaves the layers below, float32 on the CPU: [tokens of all records in their order, width]."""
    with torch.no_grad():
        seen = _through(below, list(records), collator, device)
    return seen.states[seen.mask].float().cpu()


def read_all_below(
    below: Below,
    encoded: Encoded,
    collator: Collator,
    device: torch.device,
    progress: Callable[[int, int], None],
) -> torch.Tensor:
    """As `read_below`, for all records, some at a time."""
    lengths = encoded.lengths
    ends = torch.tensor(lengths).cumsum(0).tolist()
    found = torch.empty(ends[-1], below.width)
    done = 0
    for rows in micro_batches(range(len(lengths)), lengths, BATCH):
        part = read_below(below, [encoded.records[row] for row in rows], collator, device)
        for row, states in zip(rows, torch.split(part, [lengths[row] for row in rows]), strict=True):
            found[ends[row] - lengths[row] : ends[row]] = states
        done += len(rows)
        progress(done, len(lengths))
    return found


def without_below(below: Below, encoded: Encoded, states: torch.Tensor) -> Encoded:
    """The records, which carry their row, for the model, whose layers below give `states` of those from now on.

    Args:
        below: of the model; it keeps its parameters and their names.
        encoded: the records.
        states: see `read_below`.
    """
    _Feed(below, states, encoded.lengths)
    records: list[Features] = [{**record, "row": [row]} for row, record in enumerate(encoded.records)]
    return Encoded(records, encoded.truncated)


class _Feed:
    """Gives a model's layers above what was read of the records of a batch; nothing waits for a device."""

    def __init__(self, below: Below, states: torch.Tensor, lengths: Sequence[int]) -> None:
        device = next(below.model.parameters()).device
        counts = torch.tensor(lengths)
        self._states, self._starts = states.to(device), (counts.cumsum(0) - counts).to(device)
        self._below = below
        self._now: torch.Tensor | None = None
        below.model.register_forward_pre_hook(self._take, with_kwargs=True)
        for layer in below.layers:
            layer.forward = self._instead(layer.forward)

    def _take(self, _model: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        kwargs = dict(kwargs)
        rows = kwargs.pop("row", None)
        self._now = None if rows is None else self._batch(rows, kwargs["attention_mask"])
        return args, kwargs

    def _batch(self, rows: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """States [records, longest, width], zero where a record is padded, on whichever side."""
        places = self._starts[rows].unsqueeze(1) + (mask.cumsum(1) - 1).clamp(min=0)
        return torch.where(mask.bool().unsqueeze(-1), self._states[places], 0.0)

    def _instead(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        def given(*args: Any, **kwargs: Any) -> Any:
            if self._now is None:
                return forward(*args, **kwargs)
            return self._below.given(self._now)

        return given


def _layers(model: Any) -> Sequence[Any] | None:
    """The layers of the trunk; None for a model that is no plain stack of them."""
    config = model.config
    count = getattr(config, "num_hidden_layers", None)
    if not count or getattr(config, "is_encoder_decoder", False):
        return None
    stacks = [each for each in model.modules() if isinstance(each, nn.ModuleList) and len(each) == count]
    return list(stacks[0]) if len(stacks) == 1 else None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A forward pass."""

    states: torch.Tensor
    """What enters the first trained layer [records, tokens, width]."""
    mask: torch.Tensor
    """Which tokens are there [records, tokens]."""
    scores: torch.Tensor
    gave: Any
    """What the layer below gave."""


def _tried(below: Below, records: list[Features], collator: Collator, device: torch.device) -> Below | None:
    """The layers where what they give is all that the model needs of them, and nothing trained made it; else None."""
    try:
        seen = _through(below, records, collator, device)
        parts = len(seen.gave) if isinstance(seen.gave, tuple) else 0
        more = parts > 0 and any(each is not None for each in seen.gave[1:])
        if more or seen.states.requires_grad or seen.states.shape != (*seen.mask.shape, below.width):
            return None
        found = replace(below, parts=parts)
        again = _without(found, seen.states.detach() * seen.mask.unsqueeze(-1), records, collator, device)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        return None  # an architecture that reads more of the layers below, or reads it otherwise
    there = seen.mask if seen.scores.ndim == 3 else slice(None)
    return found if torch.allclose(seen.scores[there], again[there], atol=_CLOSE, equal_nan=True) else None


def _without(
    below: Below, states: torch.Tensor, records: list[Features], collator: Collator, device: torch.device
) -> torch.Tensor:
    """The scores where the layers below give `states`, which are zero at padding, as when they are kept."""
    for layer in below.layers:
        layer.forward = lambda *_args, **_kwargs: below.given(states)
    try:
        return _through(below, records, collator, device).scores
    finally:
        for layer in below.layers:
            del layer.forward


def _through(below: Below, records: list[Features], collator: Collator, device: torch.device) -> _Seen:
    batch = {name: value.to(device) for name, value in collator.micro_batch(records).items()}
    entered: list[torch.Tensor] = []
    gave: list[Any] = []

    def enters(_layer: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        entered.append(args[0] if args else kwargs["hidden_states"])

    hooks = [
        below.first.register_forward_pre_hook(enters, with_kwargs=True),
        below.layers[-1].register_forward_hook(lambda _layer, _args, output: gave.append(output)),
    ]
    training = below.model.training
    below.model.eval()
    try:
        scores = below.model(**model_inputs(batch)).logits
    finally:
        below.model.train(training)
        for hook in hooks:
            hook.remove()
    return _Seen(entered[-1], batch["attention_mask"].bool(), scores.detach(), gave[-1])
