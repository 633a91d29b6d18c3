"""The model's config as an object of transformers, built from a file that is not trusted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.api.permissions import Permissions
from harness.api.staging import Staged
from harness.base.limits import capped
from harness.checkpoint.files import CONFIG, read_json
from harness.checkpoint.reason import reason
from harness.errors import CheckpointError

_COUNTS = re.compile(r"layer|block|group|expert|head|label|depth|stage|attention_types", re.IGNORECASE)
_COUNT_FLOOR = 10_000
_MOST_LABELS = 1_000_000
"""However many a head has: their names take 100 bytes each before any weight is read."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A config and the class it names; `remote` when only the checkpoint's own code knows the model."""

    config: Any
    """transformers.PretrainedConfig; for a remote model a plain namespace of the same keys."""
    architecture: str
    remote: bool = False
    notes: tuple[str, ...] = ()


def build_config(staged: Staged) -> ModelConfig:
    """Config object from the config.json that `stage` wrote.

    Raises CheckpointError: no class can be built from it.
    """
    from transformers import CONFIG_MAPPING

    path = staged.model / CONFIG
    values = read_json(path)
    architecture = (values.get("architectures") or [""])[0]
    if staged.remote:
        return ModelConfig(_Namespace(values), architecture, remote=True, notes=staged.notes)
    model_type = values["model_type"]
    try:
        config = CONFIG_MAPPING[model_type].from_dict(_for_this_version(values))
    except Exception as error:  # a config class raises whatever its arithmetic on wrong values raises
        raise CheckpointError(f"{path}: no valid {model_type} config ({reason(error)})") from error
    _check_labels(config, path)
    return ModelConfig(config, architecture, notes=staged.notes)


def check_counts(raw: Mapping[str, Any], path: Path, *, tensors: int, labels: int, largest: int) -> None:
    """Refuse counts above what the weights hold: building a config loops over them before any shape is compared.

    Args:
        raw: the config, or the metadata of a GGUF file.
        path: for messages.
        tensors: how many tensors there are; each layer, expert and group has one at least.
        labels: outputs of the classifier head among them.
        largest: their largest dimension; heads are parts of one.
    """
    for key, value in integers(raw):
        if not _COUNTS.search(key):
            continue
        if "label" in key.lower():
            bound = min(max(labels, _COUNT_FLOOR), _MOST_LABELS)
        else:
            bound = max(largest if "head" in key.lower() else tensors, _COUNT_FLOOR)
        if value < 0:
            raise CheckpointError(f"{path}: {key[:60]} is {value:,}, which counts nothing; the config is wrong")
        if value > capped(bound):
            raise CheckpointError(
                f"{path}: {key[:60]} is {value:,}, more than the weights can hold; the config is wrong"
            )


class _Namespace:
    """Keys of a config whose class is not run; absent keys read as absent attributes."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.__dict__.update(raw)
        labels = raw.get("id2label")
        self.id2label = {int(key): value for key, value in labels.items()} if isinstance(labels, dict) else {}
        self.num_labels = len(self.id2label) or int(raw.get("num_labels", 2))


def why_unknown(model_type: Any) -> str:
    """Why a model type says nothing to transformers, as the end of a sentence."""
    import transformers

    if not isinstance(model_type, str):
        return "names no model_type; it is not the config of a transformers model"
    return (
        f"model type {model_type[:60]!r} is unknown to transformers {transformers.__version__}; a newer one may know it"
    )


def refuse_remote_code(permissions: Permissions, path: Path, model_type: str) -> None:
    """Raises CheckpointError unless the user allows shipped code to run."""
    if not permissions.remote_code:
        raise CheckpointError(
            f"{path}: refused, model type {model_type[:60]!r} is only known to Python code shipped with the "
            "checkpoint; allow it with --allow-remote-code if you trust its author"
        )


def integers(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    """Every integer below `value`, with the innermost key it stands under."""
    todo = [(key, value)]  # a stack of its own: what is nested deep must not exhaust Python's
    while todo:
        name, item = todo.pop()
        if isinstance(item, Mapping):
            todo += [(name if str(inner).isdigit() else str(inner), below) for inner, below in item.items()]
        elif isinstance(item, list):
            todo += [(name, below) for below in item]
        elif isinstance(item, int | float) and not isinstance(item, bool) and math.isfinite(item) and item == item // 1:
            yield name, int(item)


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
