"""Cross entropy of many classes in one pass over the logits, without copies of them.

PyTorch's keeps the log-softmax and makes two gradients of the logits' size. Over a vocabulary these are the largest
tensors of a small batch. Here the logits themselves are kept, and one gradient is made, some rows at a time; rows
without a target cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_ENTRIES = 2**20
"""Logits that are worked on at a time."""


def cross_entropy(logits: Tensor, targets: Tensor, ignored: int) -> Tensor:
    """Losses [rows], in float32 at least; zero, with no gradient, where there is no target.

    Args:
        logits: [rows, classes].
        targets: classes [rows], or `ignored`.
        ignored: stands for no target.
    """
    losses: Tensor = _CrossEntropy.apply(logits, targets, ignored)  # type: ignore[no-untyped-call]  # torch has no type
    return losses


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, ignored: int) -> Tensor:
        wanted = (targets != ignored).nonzero().flatten()
        kind = torch.promote_types(logits.dtype, torch.float32)
        totals = torch.empty(len(wanted), dtype=kind, device=logits.device)  # log of the sum of exponentials
        losses = torch.zeros(len(targets), dtype=kind, device=logits.device)
        for part in _parts(len(wanted), logits.shape[1]):
            rows = wanted[part]
            values = logits[rows].to(kind)
            totals[part] = values.logsumexp(dim=1)
            losses[rows] = totals[part] - values.gather(1, targets[rows].unsqueeze(1)).squeeze(1)
        ctx.save_for_backward(logits, targets, wanted, totals)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        logits, targets, wanted, totals = ctx.saved_tensors
        result = torch.zeros_like(logits)
        for part in _parts(len(wanted), logits.shape[1]):
            rows = wanted[part]
            scale = grads[0][rows].unsqueeze(1)
            values = logits[rows].to(totals.dtype).sub_(totals[part].unsqueeze(1)).exp_()
            values.scatter_add_(1, targets[rows].unsqueeze(1), torch.full_like(scale, -1))
            result[rows] = values.mul_(scale).to(logits.dtype)
        return result, None, None


def _parts(rows: int, classes: int) -> Iterator[slice]:
    step = max(1, _ENTRIES // max(1, classes))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
