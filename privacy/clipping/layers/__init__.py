"""How the per-sample gradients of each kind of layer follow from its input and its output gradient."""

from __future__ import annotations

from torch import nn

from privacy.clipping.layers.base import Layer
from privacy.clipping.layers.conv1d import Conv1DLayer, is_conv1d
from privacy.clipping.layers.embedding import EmbeddingLayer
from privacy.clipping.layers.linear import LinearLayer
from privacy.clipping.layers.norm import NormLayer, is_norm

__all__ = ["Layer", "layer_of"]


def layer_of(module: nn.Module) -> Layer | None:
    """The layer that knows the per-sample gradients of `module`'s own parameters; None where nothing does."""
    if isinstance(module, nn.Linear):
        return LinearLayer() if type(module).forward is nn.Linear.forward else None
    if isinstance(module, nn.Embedding):
        return EmbeddingLayer()
    if is_conv1d(module):
        return Conv1DLayer()
    return NormLayer() if is_norm(module) else None
