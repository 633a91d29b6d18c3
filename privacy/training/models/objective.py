"""What each task minimises: one loss per record, in nats.

A record's loss is the mean over its own predicted tokens, and a batch's loss the mean over its records. So every
record weighs the same whatever its length, a batch split into parts gives the same gradient, and per-record gradients
(differential privacy) are those of the same function. Frameworks that average over all tokens of a batch weigh long
records more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from harness.errors import DataError
from privacy.clipping.losses import IGNORED, class_losses, next_tokens, token_losses
from privacy.training.data.batches import AddLabels, MicroBatch
from privacy.training.data.tokens import Features, maskable

ExampleLosses = Callable[[torch.nn.Module, MicroBatch], torch.Tensor]
"""(model, micro-batch) -> loss of each record [records], nats, differentiable."""

_TARGETS = ("label", "targets")


@dataclass(frozen=True, slots=True)
class Objective:
    """How records get their targets, and how the model is scored on them."""

    name: str
    add_labels: AddLabels
    losses: ExampleLosses
    precise: ExampleLosses | None = None
    """The losses in full precision; None where `losses` are that."""

    @property
    def in_full_precision(self) -> ExampleLosses:
        """The losses without rounding to a lower precision on the way."""
        return self.precise or self.losses


def classification() -> Objective:
    """Cross entropy of the class; records carry it as `label`."""
    return Objective("classification", lambda record: record, _class_losses)


def causal_lm() -> Objective:
    """Each token from those before it."""
    return Objective("causal_lm", lambda record: {**record, "targets": record["input_ids"]}, _next_token_losses)


def completion_lm() -> Objective:
    """Each token of a completion from all before it; records carry `targets`."""
    return Objective("causal_lm on completions", lambda record: record, _next_token_losses)


def masked_lm(tokenizer: Any, probability: float, seed: int) -> Objective:
    """Masked tokens, drawn anew each time a record is seen. Records that `check_maskable` refuses have loss zero."""
    return Objective("masked_lm", _Masker(tokenizer, probability, seed), _masked_token_losses)


def in_bf16(objective: Objective) -> Objective:
    """The same with the forward pass in bfloat16 where torch deems it safe; weights and losses stay float32."""

    def losses(model: torch.nn.Module, batch: MicroBatch) -> torch.Tensor:
        with torch.autocast(batch["input_ids"].device.type, torch.bfloat16):
            return objective.losses(model, batch).float()

    return replace(objective, losses=losses, precise=objective.in_full_precision)


class _Masker:
    """Devlin et al. 2019: of the tokens, round(probability * n) but at least one; 80% masked, 10% random, 10% kept."""

    def __init__(self, tokenizer: Any, probability: float, seed: int) -> None:
        if tokenizer.mask_token_id is None:
            raise DataError("the tokenizer has no mask token; masked_lm needs one")
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.all_special_ids)
        self._probability = probability
        self._rng = np.random.default_rng([seed, 1])  # its own stream: the order of records has the other

    def __call__(self, record: Features) -> Features:
        ids = record["input_ids"]
        candidates = maskable(ids, self._special)
        count = min(len(candidates), max(1, round(self._probability * len(candidates))))
        chosen = self._rng.choice(np.asarray(candidates, dtype=np.int64), count, replace=False)
        inputs, targets = list(ids), [IGNORED] * len(ids)
        for position, fate in zip(chosen.tolist(), self._rng.random(len(chosen)).tolist(), strict=True):
            targets[position] = ids[position]
            if fate < 0.8:
                inputs[position] = self._tokenizer.mask_token_id
            elif fate < 0.9:
                inputs[position] = int(self._rng.integers(self._tokenizer.vocab_size))
        return {**record, "input_ids": inputs, "targets": targets}


def _class_losses(model: torch.nn.Module, batch: MicroBatch) -> torch.Tensor:
    return class_losses(_logits(model, batch), batch["label"])


def _next_token_losses(model: torch.nn.Module, batch: MicroBatch) -> torch.Tensor:
    targets = next_tokens(batch["targets"])
    # padding on the left (XLNet) would be asked for the first token, and only of records that are padded
    return token_losses(_logits(model, batch), targets.masked_fill(batch["attention_mask"] == 0, IGNORED))


def _masked_token_losses(model: torch.nn.Module, batch: MicroBatch) -> torch.Tensor:
    return token_losses(_logits(model, batch), batch["targets"])


def _logits(model: torch.nn.Module, batch: MicroBatch) -> torch.Tensor:
    logits: torch.Tensor = model(**model_inputs(batch)).logits
    return logits


def model_inputs(batch: MicroBatch) -> MicroBatch:
    """What of a micro-batch the model reads: all but the targets."""
    return {name: value for name, value in batch.items() if name not in _TARGETS}


def with_classes(records: Sequence[Features], classes: Sequence[int]) -> list[Features]:
    """Records that carry their class as `label`."""
    return [{**record, "label": [label]} for record, label in zip(records, classes, strict=True)]
