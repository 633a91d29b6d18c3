"""Hugging Face's `Conv1D` (GPT-2): a linear layer whose weight is stored [in, out]."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from privacy.clipping.factors import Factors, sum_positions
from privacy.clipping.layers.base import Gradients, Wanted


def is_conv1d(module: nn.Module) -> bool:
    """Whether `module` is one."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, Conv1D)


class Conv1DLayer:
    """See Layer."""

    def needs_input(self, module: nn.Module, wanted: Wanted) -> bool:
        """Only the weight's gradient needs it."""
        return wanted(cast(Any, module).weight)

    def gradients(self, module: nn.Module, given: Tensor | None, grad: Tensor, wanted: Wanted) -> Gradients:
        """See Layer."""
        conv = cast(Any, module)
        if given is not None:
            yield conv.weight, Factors(given, grad)
        if wanted(conv.bias):
            yield conv.bias, sum_positions(grad)
