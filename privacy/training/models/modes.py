"""What of a model is trained: all of it, its head, its biases, its last layers, or adapters."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from harness.errors import UsageError
from privacy.training.models.lora import adapt
from privacy.training.settings.spec import TrainSpec

_LAYER = re.compile(r"(?:^|\.)(\d+)\.")
"""The first number in a parameter's name is its layer, in every architecture Assay reads."""


def choose_trained(model: Any, spec: TrainSpec, new: Collection[str], frozen: Collection[str] = ()) -> Any:
    """`model`, of which only what `spec.mode` names asks for gradients; under adapters for lora.

    Args:
        model: transformers.PreTrainedModel.
        spec: the training.
        new: parameters drawn at random, which every mode trains, as nobody has trained them yet.
        frozen: parameters that no mode trains.

    Raises:
        UsageError: the model has nothing of that kind.
    """
    if spec.lora is not None:
        model = adapt(model, spec.lora, [name for name in new if name not in frozen], without=frozen)
    elif spec.mode != "full":
        _keep(model, _CHOICES[spec.mode](model, spec, frozen) | set(new))
    if frozen:
        for name, parameter in model.named_parameters():
            if name in frozen:
                parameter.requires_grad_(False)
    return model


def begin_at_zero(model: Any, new: Collection[str]) -> None:
    """Zero the layer that gives the class scores where it is new, as Mehta et al. 2022 (arXiv 2205.02973) do.

    A random start is noise that private steps have to undo, and on frozen features the optimum does not depend on it.
    """
    name, layer = last_linear(model)
    for part, value in layer.named_parameters():
        if f"{name}.{part}" in new:
            value.detach().zero_()


def _keep(model: Any, names: Collection[str]) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)


def _head(model: Any, spec: TrainSpec, frozen: Collection[str]) -> set[str]:
    """The layer that gives the class scores; what lies between it and the trunk stays as it is."""
    name, layer = last_linear(model)
    return {f"{name}.{part}" for part, _ in layer.named_parameters()}


def _biases(model: Any, spec: TrainSpec, frozen: Collection[str]) -> set[str]:
    """Ben Zaken et al. 2022 (arXiv 2106.10199), with the head; under privacy Bu et al. 2022 (arXiv 2210.00036)."""
    trunk = _trunk(model)
    found = {name for name, _ in model.named_parameters() if name.endswith("bias") or name.endswith("beta")}
    if not any(name.startswith(trunk) for name in found):
        raise UsageError(
            f"mode bitfit: a {model.config.model_type} model has no biases to train; choose head, lora or last-layers"
        )
    return found | _outside(model)


def _last_layers(model: Any, spec: TrainSpec, frozen: Collection[str]) -> set[str]:
    """The last layers of the trunk that may be trained, its pooler and closing norm, and the head."""
    inside = [name for name in _inside(model) if name not in frozen]  # one that only averages is no layer to train
    numbers = [_number(name) for name in inside]
    layers = sorted({number for number in numbers if number is not None})
    if spec.last_layers > len(layers):
        raise UsageError(f"last_layers: {spec.last_layers} are more than the {len(layers)} that the model has")
    kept = set(layers[-spec.last_layers :])
    first = next(place for place, number in enumerate(numbers) if number is not None)  # embeddings come before it
    after = (number is None and place > first for place, number in enumerate(numbers))  # a pooler, a closing norm
    chosen = {name for name, number, late in zip(inside, numbers, after, strict=True) if number in kept or late}
    return chosen | _outside(model)


_CHOICES = {"head": _head, "bitfit": _biases, "last-layers": _last_layers}


def last_linear(model: Any) -> tuple[str, Any]:
    """Name and module of the linear layer whose outputs are the class scores. Raises UsageError where none is."""
    from torch import nn

    trunk = _trunk(model)
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and not (trunk and name.startswith(trunk))
        and module.out_features == model.config.num_labels
    ]
    if not found:
        raise UsageError(
            f"mode head: a {model.config.model_type} classifier has no linear layer of its own at its end; choose lora"
        )
    return found[-1]


def _trunk(model: Any) -> str:
    return f"{model.base_model_prefix}." if model.base_model is not model else ""


def _inside(model: Any) -> list[str]:
    """Parameters of the trunk, in their order."""
    trunk = _trunk(model)
    return [name for name, _ in model.named_parameters() if name.startswith(trunk)]


def _outside(model: Any) -> set[str]:
    """Parameters of the head; those that are the embeddings as well are the trunk's."""
    trunk = _trunk(model)
    return {name for name, _ in model.named_parameters() if not name.startswith(trunk)}


def _number(name: str) -> int | None:
    match = _LAYER.search(name)
    return int(match.group(1)) if match else None
