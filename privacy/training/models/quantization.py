"""A frozen base in few bits under adapters in full precision, as in QLoRA (Dettmers et al. 2023, arXiv 2305.14314)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from harness.base.chatter import hush
from harness.errors import UsageError
from privacy.training.settings.spec import Quantization

_BLOCK = 64
"""Weights that share a scale in nf4: QLoRA's choice, and torchao's."""
_SCALES = 256
"""Scales that are themselves quantised together, at most (QLoRA's double quantisation)."""


class QuantizedLinear(nn.Module):
    """A frozen linear layer whose weight is kept in few bits and spelt out for each use alone.

    torchao's own layer leaves the spelt out weight to autograd until the backward pass: then training would hold the
    whole base in full precision after all.
    """

    def __init__(self, layer: nn.Module, how: Quantization) -> None:
        """Take over the weight of `layer`, an `nn.Linear` or a `Conv1D`, which has none until `original`."""
        super().__init__()
        self._layer = (layer,)  # in a tuple: no part of this module, so that the model holds each parameter once
        weight, bias = layer._parameters["weight"], layer._parameters["bias"]
        assert weight is not None  # both kinds have one
        self.weight = nn.Parameter(_quantize(weight.detach(), how), requires_grad=False)
        self.bias = bias
        self.how = how
        self._transposed = not isinstance(layer, nn.Linear)
        layer._parameters["weight"] = None

    def forward(self, given: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        result: Tensor = _Product.apply(given, self.weight, self.bias, self._transposed)  # type: ignore[no-untyped-call]
        return result

    def original(self) -> nn.Module:
        """The layer that this one stands for, with the weight that training has used."""
        (layer,) = self._layer
        layer._parameters["weight"] = nn.Parameter(dequantized(self.weight), requires_grad=False)
        layer._parameters["bias"] = self.bias
        return layer


class _Product(torch.autograd.Function):
    """A linear layer that keeps nothing for the backward pass but the quantised weight."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, weight: Tensor, bias: Tensor | None, transposed: bool) -> Tensor:
        ctx.weight, ctx.transposed = weight, transposed
        spelt = dequantized(weight)
        return nn.functional.linear(given, spelt.T if transposed else spelt, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, None]:
        (grad,) = grads
        spelt = dequantized(ctx.weight).to(grad.dtype)  # bfloat16 under autocast
        return (grad @ (spelt.T if ctx.transposed else spelt) if ctx.needs_input_grad[0] else None), None, None, None


def base_layers(model: Any, without: Collection[str]) -> list[nn.Module]:
    """Linear layers of the trunk whose weight nobody else uses; not those of the parameters `without`."""
    from transformers.pytorch_utils import Conv1D

    trunk = model.base_model
    prefix = "" if trunk is model else f"{model.base_model_prefix}."
    users = Counter(id(value) for module in model.modules() for value in module._parameters.values())
    return [
        module
        for name, module in trunk.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and type(module).forward in (nn.Linear.forward, Conv1D.forward)
        and f"{prefix}{name}.weight" not in without
        and users[id(module.weight)] == 1
    ]


def quantize(model: nn.Module, layers: Sequence[nn.Module], how: Quantization) -> None:
    """Put quantised layers in the place of `layers`, wherever they are in `model`.

    Raises UsageError: torchao is missing, there is no layer, or one cannot be quantised so.
    """
    check_torchao()
    if not layers:
        raise UsageError("lora.quantization: the model has no linear layer that could be quantised; leave it out")
    made = {layer: QuantizedLinear(layer, how) for layer in layers}
    for parent, name, child in _children(model):
        if child in made:
            setattr(parent, name, made[child])


def restored(model: Any) -> Any:
    """`model` with ordinary layers in the place of quantised ones, of the same function."""
    layers = {each: each.original() for each in _quantized(model)}
    for parent, name, child in _children(model):
        if child in layers:
            setattr(parent, name, layers[child])
    return model


def frozen_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Weights that are not trained, with their names; of quantised ones what they stand for, one at a time."""
    for name, value in model.named_parameters():
        if not value.requires_grad:
            yield name, value if type(value) is nn.Parameter else dequantized(value)


def described(model: nn.Module) -> str | None:
    """What of `model` is quantised, how, and what that saves; None where nothing is."""
    found = _quantized(model)
    if not found:
        return None
    before = sum(each.weight.numel() for each in found) * torch.float32.itemsize
    return (
        f"{len(found)} linear layers of the base were kept in {found[0].how} (torchao {version('torchao')}), "
        f"{sum(_bytes(each.weight) for each in found):,} bytes instead of {before:,}; saved is what they stand for"
    )


def _quantized(model: nn.Module) -> list[QuantizedLinear]:
    return [module for module in model.modules() if isinstance(module, QuantizedLinear)]


def _children(model: nn.Module) -> list[tuple[nn.Module, str, Any]]:
    """(parent, name, child), a child in all its places."""
    return [(each, name, child) for each in model.modules() for name, child in each._modules.items()]


def check_torchao() -> None:
    """Raises UsageError where the package is missing or does not know these formats."""
    if find_spec("torchao") is None:
        raise UsageError("lora.quantization: needs the torchao package; pip install 'assay[quantized]'")
    hush()
    import torchao.quantization as found

    if not hasattr(found, "to_nf4"):
        raise UsageError(f"lora.quantization: torchao {version('torchao')} is too old; pip install 'assay[quantized]'")


def _quantize(weight: Tensor, how: Quantization) -> Tensor:
    from torchao.quantization import Int8Tensor, PerRow, to_nf4

    quantized: Tensor
    if how == "int8":
        quantized = Int8Tensor.from_hp(weight.contiguous(), PerRow())
    else:
        blocks, rest = divmod(weight.numel(), _BLOCK)
        if rest:
            raise UsageError(
                f"lora.quantization: nf4 takes {_BLOCK} weights at a time, and a layer of the model has "
                f"{weight.numel():,}; choose int8"
            )
        quantized = to_nf4(weight.contiguous(), _BLOCK, math.gcd(blocks, _SCALES))
    return quantized


def dequantized(weight: Any) -> Tensor:
    """The values that a quantised weight stands for."""
    found: Tensor = weight.get_original_weight() if hasattr(weight, "get_original_weight") else weight.dequantize()
    return found


def _bytes(weight: Any) -> int:
    """Of the tensors that a quantised weight is made of."""
    if not hasattr(weight, "__tensor_flatten__"):
        return int(weight.nbytes)
    names, _ = weight.__tensor_flatten__()
    return sum(_bytes(getattr(weight, name)) for name in names)
