"""Where the backward pass hands over output gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Receive = Callable[[Tensor], None]
"""Called with the gradient of a tapped tensor."""


class _Anchored(torch.autograd.Function):
    """The identity, in the graph even where nothing before it needs a gradient."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, anchor: Tensor) -> Tensor:
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None]:
        return None, None


def tap(output: Tensor, receive: Receive) -> Tensor:
    """`output`, whose gradient will be handed to `receive` in the backward pass."""
    if not output.requires_grad:
        anchor = torch.zeros((), device=output.device, requires_grad=True)  # makes autograd come by; gets no gradient
        output = _Anchored.apply(output, anchor)  # type: ignore[no-untyped-call]  # torch has no type for it
    output.register_hook(receive)  # type: ignore[no-untyped-call]  # torch has no type for it
    return output
