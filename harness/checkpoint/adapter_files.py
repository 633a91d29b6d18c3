"""PEFT adapters on their way into the private folder: settings under an allow-list, patterns as plain module names."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.base.confined import copy_regular, is_there
from harness.checkpoint.files import (
    ADAPTER_CONFIG,
    PICKLE,
    SAFETENSORS,
    SAFETENSORS_INDEX,
    read_json,
)
from harness.checkpoint.tensors import MAX_FILE_BYTES, Tensor, read_header
from harness.errors import CheckpointError

ADAPTER_WEIGHTS = "adapter_model.safetensors"
MERGEABLE = frozenset({"LORA", "ADALORA", "IA3", "LOHA", "LOKR", "OFT", "BOFT"})
HEAD = re.compile(r"\b(classifier|score|logits_proj)(\.out_proj)?(\.modules_to_save)?\.weight$")
_MODULE = re.compile(
    r"^base_model\.model\.(?P<module>.+?)\.(lora_\w+|ia3_l|hada_\w+|lokr_\w+|oft_\w+|boft_\w+|ranknum|vera_\w+)(\.|$)"
)
_NEVER = frozenset({
    "arrow_config", "auto_mapping", "base_model_name_or_path", "corda_config", "eva_config", "exclude_modules",
    "inference_mode", "init_weights", "layers_pattern", "layers_to_transform", "loftq_config", "lora_ga_config",
    "megatron_config", "megatron_core", "monteclora_config", "peft_version", "revision", "runtime_config",
    "target_modules", "target_parameters",
})  # fmt: skip
"""Settings that import, fetch, match by regular expression, or matter only before training."""
_REPEATABLE = re.compile(r"gaussian|orthogonal|eva|olora|pissa(_niter_\d{1,2})?")
_MOST_NAMES = 100_000
_PLAIN = re.compile(r"[\w.]{1,300}", re.ASCII)
_WORD = re.compile(r"[\w+. -]{0,100}", re.ASCII)


def stage_adapter(path: Path, target: Path, within: tuple[Path, ...]) -> tuple[str | None, int | None]:
    """Copy the adapter in folder `path` to `target`; the base it names and the labels of the head it holds.

    Raises CheckpointError: ambiguous, pickled, corrupt or not mergeable.
    """
    where = path / ADAPTER_CONFIG
    if any(is_there(path / name) for name in (SAFETENSORS, SAFETENSORS_INDEX, PICKLE)):
        raise CheckpointError(f"{path}: holds both a full model and {ADAPTER_CONFIG}; remove the one not to be audited")
    settings = read_json(where, within=within)
    if not is_there(path / ADAPTER_WEIGHTS):
        raise CheckpointError(f"{path}: lacks {ADAPTER_WEIGHTS}; pickled adapters are refused, convert them")
    kind = settings.get("peft_type")
    if not isinstance(kind, str) or kind not in MERGEABLE:
        raise CheckpointError(
            f"{where}: adapters of type {str(kind)[:40]!r} cannot be merged; Assay reads {', '.join(sorted(MERGEABLE))}"
        )
    require_peft(path)
    target.mkdir()
    copy_regular(path / ADAPTER_WEIGHTS, target / ADAPTER_WEIGHTS, MAX_FILE_BYTES, within)
    tensors = read_header(target / ADAPTER_WEIGHTS)
    vetted = vet_adapter(settings, tensors, where)
    (target / ADAPTER_CONFIG).write_text(json.dumps(vetted, sort_keys=True), encoding="utf-8")
    named = settings.get("base_model_name_or_path")
    labels = next((tensor.shape[0] for tensor in tensors if HEAD.search(tensor.name) and tensor.shape), None)
    return (named if isinstance(named, str) and named else None), labels


def vet_adapter(settings: Mapping[str, Any], tensors: Iterable[Tensor], where: Path) -> dict[str, Any]:
    """Settings that peft's config class for this type knows, with the modules that the weights name as its targets."""
    if settings.get("layer_replication"):
        raise CheckpointError(f"{where}: layer_replication builds another model than its base; merge it beforehand")
    kind = str(settings["peft_type"])
    known = _known(kind)
    modules = sorted({match["module"] for tensor in tensors if (match := _MODULE.match(tensor.name))})
    if not modules:
        raise CheckpointError(f"{where}: its weights name no module to be adapted; download it again")
    vetted: dict[str, Any] = {"peft_type": kind, "inference_mode": True, "target_modules": modules}
    for name, value in settings.items():
        if name in known and name not in _NEVER and name != "peft_type":
            vetted[name] = _setting(name, value, modules, where)
    return vetted


def require_peft(where: Path) -> None:
    """Raises CheckpointError when peft is not installed."""
    from importlib.util import find_spec

    if find_spec("peft") is None:
        raise CheckpointError(f"{where}: reading an adapter needs the peft package; pip install 'assay[peft]'")


def _known(kind: str) -> frozenset[str]:
    """Fields of peft's config class for a type."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    return frozenset(field.name for field in dataclasses.fields(PEFT_TYPE_TO_CONFIG_MAPPING[kind]))


def _setting(name: str, value: Any, modules: list[str], where: Path) -> Any:
    """A number, a word, or a list of module names; of a pattern, what it gives each module."""
    if name == "init_lora_weights" and not _leaves_base_alone(value):
        raise CheckpointError(
            f"{where}: {name} {str(value)[:40]!r} changes the base's weights; merge the adapter beforehand"
        )
    if name.endswith("_pattern"):
        return _by_module(name, value, modules, where)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) < 2**63:
        return value
    if isinstance(value, str) and _WORD.fullmatch(value):
        return value
    if isinstance(value, list) and len(value) <= _MOST_NAMES and all(map(_is_name, value)):
        return value
    raise CheckpointError(f"{where}: {name} is no plain setting; correct it, or merge the adapter beforehand")


def _is_name(item: Any) -> bool:
    """A module's name, or an index."""
    return type(item) is int or (isinstance(item, str) and _PLAIN.fullmatch(item) is not None)


def _leaves_base_alone(value: Any) -> bool:
    """Whether an initialisation can be repeated from the base alone; trained weights then replace its result."""
    if value is None or isinstance(value, bool):
        return True
    return (
        isinstance(value, str)
        and re.fullmatch(r"gaussian|orthogonal|eva|olora|pissa(_niter_\d{1,2})?", value) is not None
    )


def _by_module(name: str, value: Any, modules: list[str], where: Path) -> dict[str, float]:
    """Peft takes the keys for regular expressions; here only plain endings of module names are, each spelt out."""
    if not value:
        return {}
    if not isinstance(value, dict) or len(value) > 10_000:
        raise CheckpointError(f"{where}: {name} is not an object of module names; correct it")
    spelt: dict[str, float] = {}
    for key, number in value.items():
        plain = key.replace("\\.", ".").removeprefix("^").removesuffix("$")
        if _PLAIN.fullmatch(plain) is None or type(number) not in (int, float) or not 0 < number < 1e6:
            raise CheckpointError(
                f"{where}: {name} has {key[:60]!r}, a regular expression or no number; merge the adapter beforehand"
            )
        ending = f".{plain}"
        spelt.update({re.escape(module): number for module in modules if f".{module}".endswith(ending)})
    return spelt
