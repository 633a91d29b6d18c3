"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) on frozen weights, merged into them at the end."""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec
from typing import Any

from torch import nn

from harness.errors import UsageError
from privacy.training.settings.spec import LoraSpec

_OURS = {"megatron-bert": ["query", "value"]}
"""Fresh BERT, which peft has no entry for: its choice for BERT."""


def adapt(model: Any, lora: LoraSpec, new: Collection[str], without: Collection[str] = ()) -> Any:
    """`model` with adapters on linear layers of its trunk; only they and the parameters named in `new` are trained.

    `without`: parameters whose layers get none.
    The adapters' A is drawn from torch's global random state; B is zero, so that the outputs are still the model's.
    Raises UsageError: peft is missing, the architecture has no default targets, or a target is no such layer.
    """
    if find_spec("peft") is None:
        raise UsageError("lora: needs the peft package; pip install 'assay[peft]'")
    from peft import LoraConfig, get_peft_model

    layers = _linear_layers(model, {*new, *without})
    names = _targets(model.config.model_type, lora.targets, layers)
    transposed = all(not isinstance(layers[name], nn.Linear) for name in names)  # GPT-2's Conv1D
    wrapped = get_peft_model(
        model, LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=names, fan_in_fan_out=transposed)
    )
    for name, parameter in model.named_parameters():
        if name in new:
            parameter.requires_grad_(True)
    return wrapped


def merged(model: Any) -> Any:
    """The model with its adapters added to its weights, if it has any; an ordinary one afterwards."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def _linear_layers(model: Any, new: Collection[str]) -> dict[str, nn.Module]:
    """Linear layers of the trunk by full name, without those that are trained whole."""
    from transformers.pytorch_utils import Conv1D

    trunk = model.base_model
    prefix = "" if trunk is model else f"{model.base_model_prefix}."
    found = {prefix + name: module for name, module in trunk.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    return {name: module for name, module in found.items() if f"{name}.weight" not in new}


def _targets(model_type: str, wanted: Collection[str], layers: Collection[str]) -> list[str]:
    """Full names of the layers to adapt."""
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    known = {**TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING, **_OURS}
    endings = list(wanted or known.get(model_type, []))
    candidates = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in layers))
    if not endings:
        raise UsageError(
            f"lora: which layers of a {model_type} model to adapt is not known; name them in lora.targets, out of "
            f"{candidates}"
        )
    for ending in endings:
        if not any(_ends(name, ending) for name in layers):
            raise UsageError(
                f"lora.targets: no linear layer of the {model_type} model is called {ending!r}; "
                f"choose from {candidates}"
            )
    return [name for name in layers if any(_ends(name, ending) for ending in endings)]


def _ends(name: str, ending: str) -> bool:
    return name == ending or name.endswith(f".{ending}")
