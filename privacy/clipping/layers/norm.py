"""LayerNorm, RMSNorm and their relatives: a normalised input times one weight per feature, plus one bias."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from privacy.clipping.factors import wide
from privacy.clipping.layers.base import Gradients, Wanted


def is_norm(module: nn.Module) -> bool:
    """Whether `module` is a norm with one weight per feature (LayerNorm, nn.RMSNorm, Llama's, Gemma's 1 + weight)."""
    own = dict(module.named_parameters(recurse=False))
    flat = "weight" in own and own.keys() <= {"weight", "bias"} and all(value.ndim == 1 for value in own.values())
    return flat and type(module).__name__.endswith(("LayerNorm", "RMSNorm")) and not list(module.children())


class NormLayer:
    """See Layer."""

    def needs_input(self, module: nn.Module, wanted: Wanted) -> bool:
        """Only the weight's gradient needs it."""
        return wanted(cast(Tensor, module.weight))

    def gradients(self, module: nn.Module, given: Tensor | None, grad: Tensor, wanted: Wanted) -> Gradients:
        """See Layer."""
        grad = wide(grad)
        if given is not None:
            yield cast(Tensor, module.weight), (grad * wide(_normalised(module, given))).sum(dim=1)
        bias = getattr(module, "bias", None)
        if isinstance(bias, Tensor) and wanted(bias):
            yield bias, grad.sum(dim=1)


def _normalised(module: nn.Module, given: Tensor) -> Tensor:
    """The derivative of the output by the weight, of the shape of `given`.

    Of classes other than LayerNorm only that they are affine in the weight is used (the engine's check of the first
    batch finds those that are not): it is then their output at weight 1 less that at weight 0.
    """
    with torch.no_grad():
        if isinstance(module, nn.LayerNorm):
            return functional.layer_norm(given, module.normalized_shape, None, None, module.eps)
        weight = cast(Tensor, module.weight)
        at = [functional_call(module, {"weight": fill(weight)}, given) for fill in (torch.ones_like, torch.zeros_like)]
        return wide(at[0]) - wide(at[1])
