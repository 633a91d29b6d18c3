"""`nn.Linear`: output = input weight^T + bias."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from privacy.clipping.factors import Factors, sum_positions
from privacy.clipping.layers.base import Gradients, Wanted

_HEAD = 4096
"""Outputs from which a layer counts as a vocabulary head, where looking for rows without gradient pays."""


class LinearLayer:
    """See Layer."""

    def needs_input(self, module: nn.Module, wanted: Wanted) -> bool:
        """Only the weight's gradient needs it."""
        return wanted(cast(nn.Linear, module).weight)

    def gradients(self, module: nn.Module, given: Tensor | None, grad: Tensor, wanted: Wanted) -> Gradients:
        """See Layer."""
        linear = cast(nn.Linear, module)
        if given is not None:
            factors = Factors(grad, given)
            yield linear.weight, _without_zero_rows(factors) if grad.shape[2] >= _HEAD else factors
        if linear.bias is not None and wanted(linear.bias):
            yield linear.bias, sum_positions(grad)


def _without_zero_rows(factors: Factors) -> Factors:
    """Positions without gradient left out: most of them at the head of a masked LM, where only masked tokens count."""
    used = torch.linalg.vector_norm(factors.left, ord=torch.inf, dim=2) != 0  # True for NaN
    most = max(1, int(used.sum(dim=1).max()))
    if 2 * most > used.shape[1]:
        return factors
    order = used.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]  # unused ones fill up: zeros
    samples = torch.arange(len(order), device=order.device).unsqueeze(1)
    return Factors(factors.left[samples, order], factors.right[samples, order])
