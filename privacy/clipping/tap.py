"""Where the backward pass hands over output gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Receive = Callable[[Tensor], None]
"""Called with the gradient of a tapped tensor."""


class _Tap(torch.autograd.Function):
    """The identity, with a gradient even where nothing before it needs one."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, anchor: Tensor, receive: Receive) -> Tensor:
        ctx.receive = receive
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None]:
        ctx.receive(grads[0])
        return None, None, None


def tap(output: Tensor, receive: Receive) -> Tensor:
    """`output`, whose gradient will be handed to `receive` in the backward pass."""
    if output.requires_grad:
        output.register_hook(receive)  # type: ignore[no-untyped-call]  # torch has no type for it
        return output
    anchor = torch.zeros((), device=output.device, requires_grad=True)  # makes autograd reach the tap; gets no gradient
    tapped: Tensor = _Tap.apply(output, anchor, receive)  # type: ignore[no-untyped-call]  # torch has no type for it
    return tapped
