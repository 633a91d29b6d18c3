"""The model's config as an object of transformers, built from a file that is not trusted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.checkpoint.reason import reason
from harness.checkpoint.source import CheckpointSource
from harness.errors import CheckpointError

_STEERING = {
    "auto_map",
    "transformers_weights",
    "attn_implementation",
    "_attn_implementation",
    "experts_implementation",
}
"""Keys by which a config could make transformers fetch other weights, kernels or code."""
_COUNTS = re.compile(r"layer|block|group|expert|head|label|depth|stage|attention_types", re.IGNORECASE)
_COUNT_FLOOR = 10_000


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A config and the class it names; `remote` when only the checkpoint's own code knows the model."""

    config: Any
    """transformers.PretrainedConfig; for a remote model a plain namespace of the same keys."""
    architecture: str
    remote: bool = False
    notes: tuple[str, ...] = ()


def build_config(raw: Mapping[str, Any], source: CheckpointSource, path: Path, *, bound: int) -> ModelConfig:
    """Config object from `config.json`.

    Args:
        raw: the content of config.json.
        source: for what it allows.
        path: of config.json, for messages.
        bound: most layers, heads, labels … that the weights can hold.

    Raises:
        CheckpointError: unknown model type, remote code, quantised weights, or absurd counts.
    """
    from transformers import CONFIG_MAPPING

    model_type, auto_map = raw.get("model_type"), raw.get("auto_map")
    architecture = _architecture(raw, path)
    if not isinstance(model_type, str) or (model_type not in CONFIG_MAPPING and not auto_map):
        raise CheckpointError(f"{path}: {_why_unknown(model_type)}")
    check_counts(raw, path, max(bound, _COUNT_FLOOR))
    if "quantization_config" in raw:
        raise CheckpointError(f"{path}: the weights are quantised; Assay reads unquantised safetensors and GGUF")
    if model_type not in CONFIG_MAPPING:
        _refuse_remote_code(source, path, model_type)
        return ModelConfig(_Namespace(raw), architecture, remote=True, notes=(_REMOTE_NOTE,))
    clean = {key: value for key, value in raw.items() if key not in _STEERING}
    try:
        config = CONFIG_MAPPING[model_type].from_dict(_for_this_version(clean))
    except Exception as error:  # a config class raises whatever its arithmetic on wrong values raises
        raise CheckpointError(f"{path}: no valid {model_type} config ({reason(error)})") from error
    _check_labels(config, path)
    notes = (
        (f"The checkpoint ships code for {model_type}, which transformers knows itself: ignored.",) if auto_map else ()
    )
    return ModelConfig(config, architecture, notes=notes)


def check_counts(raw: Mapping[str, Any], path: Path, bound: int) -> None:
    """Refuse counts above `bound`: building a config loops over layers and labels before any shape can be compared."""
    for key, value in integers(raw):
        if value > bound and _COUNTS.search(key):
            raise CheckpointError(f"{path}: {key} is {value:,}, more than the weights can hold; the config is wrong")


class _Namespace:
    """Keys of a config whose class is not run; absent keys read as absent attributes."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.__dict__.update(raw)
        labels = raw.get("id2label")
        self.id2label = {int(key): value for key, value in labels.items()} if isinstance(labels, dict) else {}
        self.num_labels = len(self.id2label) or int(raw.get("num_labels", 2))


_REMOTE_NOTE = "Python code shipped with the checkpoint is run, as --allow-remote-code says."


def _architecture(raw: Mapping[str, Any], path: Path) -> str:
    named = raw.get("architectures") or [""]
    if not isinstance(named, list) or not isinstance(named[0], str):
        raise CheckpointError(f"{path}: 'architectures' is not a list of class names")
    return named[0]


def _why_unknown(model_type: Any) -> str:
    import transformers

    if not isinstance(model_type, str):
        return "names no model_type; it is not the config of a transformers model"
    return f"model type {model_type!r} is unknown to transformers {transformers.__version__}; a newer one may know it"


def _refuse_remote_code(source: CheckpointSource, path: Path, model_type: str) -> None:
    if not source.allow_remote_code:
        raise CheckpointError(
            f"{path}: refused, model type {model_type!r} is only known to Python code shipped with the checkpoint; "
            "allow it with --allow-remote-code if you trust its author"
        )


def integers(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    """Every integer below `value`, with the innermost key it stands under."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from integers(item, key if name.isdigit() else str(name))
    elif isinstance(value, list):
        for item in value:
            yield from integers(item, key)
    elif isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        yield key, int(value)


def _check_labels(config: Any, path: Path) -> None:
    labels = config.id2label or {}
    if sorted(labels) != list(range(len(labels))):
        raise CheckpointError(f"{path}: id2label does not number its labels 0, 1, 2 …; correct it")


def _for_this_version(raw: dict[str, Any]) -> dict[str, Any]:
    """Rotary settings as transformers 4 reads them, where version 5 saved them as `rope_parameters`.

    Version 4 would ignore the key and silently use its default base frequency: other numbers, no error.
    """
    import transformers

    rope = raw.get("rope_parameters")
    if int(transformers.__version__.split(".")[0]) >= 5 or not isinstance(rope, dict):
        return raw
    full, local = rope.get("full_attention", rope), rope.get("sliding_attention", {})
    old = {
        "rope_theta": full.get("rope_theta"),
        "rotary_emb_base": full.get("rope_theta"),
        "global_rope_theta": full.get("rope_theta") if local else None,
        "rope_local_base_freq": local.get("rope_theta"),
        "local_rope_theta": local.get("rope_theta"),
        "partial_rotary_factor": full.get("partial_rotary_factor"),
        "rotary_pct": full.get("partial_rotary_factor"),
    }
    if full.get("rope_type", "default") != "default":
        old["rope_scaling"] = {key: value for key, value in full.items() if key != "rope_theta"}
    return {**{key: value for key, value in old.items() if value is not None}, **raw}
