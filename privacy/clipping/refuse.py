"""Models whose per-sample gradients are unknown, found before any training."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from privacy.clipping.errors import ONE_SAMPLE, ClippingError
from privacy.clipping.head_bias import head_biases
from privacy.clipping.layers import layer_of
from privacy.clipping.recompute import is_checkpointed, regions_of


def refuse_mixing(model: nn.Module) -> None:
    """Raise ClippingError where one sample's gradient depends on another's: no engine can help."""
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            raise ClippingError(
                f"{name!r} is a {type(module).__name__}, which mixes the samples of a batch, so no sample has a "
                "gradient of its own; replace it with a LayerNorm or GroupNorm"
            )
        kind = type(module).__name__.lower()
        if ("moe" in kind or "experts" in kind) and _trained(module):
            raise ClippingError(
                f"{name!r} ({type(module).__name__}) routes tokens to experts, whose load balancing mixes the samples "
                "of a batch; freeze it"
            )


def refuse_checkpointing(model: nn.Module) -> None:
    """Raise ClippingError where layers run a second time in a way that book-keeping cannot follow."""
    if is_checkpointed(model) and not regions_of(model):
        raise ClippingError(
            "gradient checkpointing that is not transformers' runs each layer twice, which book-keeping cannot tell "
            "from two uses; switch it off and take smaller micro-batches"
        )


def refuse_unknown(model: nn.Module) -> None:
    """Raise ClippingError naming the module whose per-sample gradients book-keeping does not know."""
    known = {id(value) for module in model.modules() if layer_of(module) for value in module.parameters(recurse=False)}
    known |= {id(found.value) for found in head_biases(model)}
    for name, module in model.named_modules():
        own = {key: value for key, value in module.named_parameters(recurse=False) if value.requires_grad}
        unknown = [key for key, value in own.items() if id(value) not in known]
        if unknown:
            raise ClippingError(
                f"the per-sample gradients of {name!r} ({type(module).__name__}: {', '.join(unknown)}) are not known "
                f"to book-keeping; {ONE_SAMPLE}"
            )
        if isinstance(module, nn.Embedding) and own and _unusual(module):
            raise ClippingError(
                f"the embedding {name!r} has max_norm, scale_grad_by_freq or sparse set, which tie samples together; "
                "unset it or freeze the embedding"
            )


def _trained(module: nn.Module) -> bool:
    return any(value.requires_grad for value in module.parameters())


def _unusual(table: nn.Embedding) -> bool:
    return table.max_norm is not None or table.scale_grad_by_freq or table.sparse
