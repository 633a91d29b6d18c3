"""One loss per sample, in nats, that no other sample enters.

A sample's loss is the mean over its own targets. Frameworks that divide by the targets of the whole batch (HF's
`num_items_in_batch`) let every sample's gradient depend on how long the others are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from privacy.clipping.cross_entropy import cross_entropy

IGNORED = -100
"""Target of a token that is not predicted."""

Task = Literal["classification", "masked_lm", "causal_lm"]


def per_sample_loss(model: nn.Module, batch: Mapping[str, Tensor], task: Task) -> Tensor:
    """Losses [samples] of a micro-batch; of an empty one without running the model.

    Args:
        model: with `logits` among its outputs.
        batch: its inputs, and `labels`: classes [samples], or token ids [samples, positions] with IGNORED where
            nothing is predicted (for a causal LM those of the inputs; they are shifted here).
        task: what is predicted.
    """
    labels = batch["labels"]
    if not len(labels):
        return torch.zeros(0, device=labels.device)
    logits: Tensor = model(**{name: value for name, value in batch.items() if name != "labels"}).logits
    if task == "classification":
        return class_losses(logits, labels)
    return token_losses(logits, next_tokens(labels) if task == "causal_lm" else labels)


def next_tokens(labels: Tensor) -> Tensor:
    """Targets of a causal LM at each position [samples, positions]: the label that follows, none at the end."""
    return functional.pad(labels[:, 1:], (0, 1), value=IGNORED)


def class_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy [samples] of logits [samples, classes]."""
    return functional.cross_entropy(_wide(logits), labels.flatten(), reduction="none")


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy [samples] over each sample's targets; zero, with no gradient, for a sample without any.

    Args:
        logits: [samples, positions, vocabulary].
        targets: [samples, positions], IGNORED where nothing is predicted.
    """
    flat = cross_entropy(logits.flatten(0, 1), targets.flatten(), IGNORED)
    return flat.view(targets.shape).sum(dim=1) / (targets != IGNORED).sum(dim=1).clamp(min=1)


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
