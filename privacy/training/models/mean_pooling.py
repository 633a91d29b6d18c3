"""A classifier that reads the mean over its tokens, as an ordinary model of its architecture.

BERT's head reads the first token. One more layer in front of it makes that token the mean of all: without queries and
keys each token attends to every other alike, its values are the states themselves, and a large factor leaves nothing of
what the token was. What follows in the layer is zero, so the norm at its end gives each record's mean the same length.
The head's dense layer scales that into the straight part of its tanh. So the checkpoint needs no code of its own, and
whatever loads the architecture computes the mean.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from harness.errors import UsageError

AVERAGED = frozenset({"bert", "roberta", "xlm-roberta", "camembert"})
"""Post-norm layers under a head with a tanh; others have no place that computes a mean."""
_FACTOR = 1000.0
"""Of the mean over what the first token was: it leaves a thousandth of that, and float32 carries both."""

_LENGTH = 3.0
"""Of what the last layer reads: beside it the bias, which reads 1, takes a tenth of a clipped gradient, and a width of
384 keeps tanh within 1 % of a straight line."""


def check_averaged(model_type: str) -> None:
    """Raises UsageError for an architecture that cannot pool by its mean."""
    if model_type not in AVERAGED:
        raise UsageError(
            f"pooling: a {model_type} classifier cannot read the mean over its tokens; leave pooling out "
            f"({', '.join(sorted(AVERAGED))} can)"
        )


def layers_read(wanted: int | None, there: int) -> int:
    """How many layers of the base lie below the one that averages. Raises UsageError for more than there are."""
    if wanted is not None and wanted > there:
        raise UsageError(f"pooling_layer: {wanted} is more than the {there} layers that the base has")
    return wanted or there


def is_read(name: str, layers: int) -> bool:
    """Whether a parameter of the trunk is below the layer that averages, or no layer's."""
    parts = name.split(".")
    return parts[:2] != ["encoder", "layer"] or int(parts[2]) < layers


def averaging_names(model: Any) -> set[str]:
    """Parameters of the last layer, which averages."""
    prefix = f"{model.base_model_prefix}.encoder.layer.{model.config.num_hidden_layers - 1}."
    return {name for name, _ in model.named_parameters() if name.startswith(prefix)}


@torch.no_grad()
def average_last(model: Any) -> None:
    """Make the last layer of a classifier one that averages, and its head's dense layer a plain scale.

    The norm gives each dimension a variance of 1, so records come out of the dense layer with a length near `_LENGTH`.
    """
    layer = model.base_model.encoder.layer[-1]
    attention, width = layer.attention, model.config.hidden_size
    for part in (attention.self.query, attention.self.key, layer.intermediate.dense, layer.output.dense):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    scaled = {attention.self.value: 1.0, attention.output.dense: _FACTOR, _dense(model): _LENGTH * width**-0.5}
    for part, factor in scaled.items():
        part.weight.copy_(torch.eye(width) * factor)
        nn.init.zeros_(part.bias)
    for norm in (attention.output.LayerNorm, layer.output.LayerNorm):
        nn.init.ones_(norm.weight)
        nn.init.zeros_(norm.bias)


def _dense(model: Any) -> nn.Linear:
    """What stands between the first token and the layer of class scores; its tanh follows."""
    pooler = getattr(model.base_model, "pooler", None)
    dense: nn.Linear = pooler.dense if pooler is not None else model.classifier.dense
    return dense


def dense_names(model: Any) -> set[str]:
    """Parameters of the dense layer that `average_last` makes a scale."""
    dense = _dense(model)
    return {name for name, value in model.named_parameters() if any(value is own for own in dense.parameters())}
