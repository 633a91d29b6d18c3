"""PEFT adapters: found, checked, tied to their base, and merged into it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.checkpoint.config import integers
from harness.checkpoint.files import PICKLE, SAFETENSORS, SAFETENSORS_INDEX, read_json
from harness.checkpoint.resolve import resolve
from harness.checkpoint.source import CheckpointSource
from harness.checkpoint.tensors import Tensor, read_header
from harness.errors import CheckpointError

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_MERGEABLE = {"LORA", "ADALORA", "IA3", "LOHA", "LOKR", "OFT", "BOFT"}
_HEAD = re.compile(r"\b(classifier|score|logits_proj)(\.out_proj)?(\.modules_to_save)?\.weight$")
_WRAPPING = re.compile(r"^base_model\.model\.|\.modules_to_save(\.default)?(?=\.)")
_FLOOR = 10_000


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter folder whose files have been checked."""

    folder: Path
    settings: dict[str, Any]
    tensors: tuple[Tensor, ...]

    @property
    def task(self) -> str | None:
        """Its task_type, e.g. 'SEQ_CLS'."""
        task = self.settings.get("task_type")
        return task if isinstance(task, str) else None

    @property
    def labels(self) -> int | None:
        """Outputs of the classifier head it holds; None where it holds none."""
        return next((tensor.shape[0] for tensor in self.tensors if _HEAD.search(tensor.name) and tensor.shape), None)

    def supplies(self, name: str) -> bool:
        """Whether it holds the base model's tensor `name` whole, e.g. a trained head."""
        return name in {_WRAPPING.sub("", tensor.name) for tensor in self.tensors}


def read_adapter(path: Path) -> Adapter | None:
    """The adapter a folder holds, or None. Raises CheckpointError: ambiguous, pickled, corrupt or not mergeable."""
    if not (path / ADAPTER_CONFIG).is_file():
        return None
    if any((path / name).is_file() for name in (SAFETENSORS, SAFETENSORS_INDEX, PICKLE)):
        raise CheckpointError(f"{path}: holds both a full model and {ADAPTER_CONFIG}; remove the one not to be audited")
    settings = read_json(path / ADAPTER_CONFIG)
    if not (path / ADAPTER_WEIGHTS).is_file():
        raise CheckpointError(f"{path}: lacks {ADAPTER_WEIGHTS}; pickled adapters are refused, convert them")
    if settings.get("peft_type") not in _MERGEABLE:
        raise CheckpointError(
            f"{path / ADAPTER_CONFIG}: adapters of type {settings.get('peft_type')!r} cannot be merged; "
            f"Assay reads {', '.join(sorted(_MERGEABLE))}"
        )
    adapter = Adapter(
        path, settings, tuple(sorted(read_header(path / ADAPTER_WEIGHTS), key=lambda tensor: tensor.name))
    )
    _check_sizes(adapter)
    return adapter


def base_of(adapter: Adapter, source: CheckpointSource) -> Path:
    """Where its base lies: next to the adapter, at the path it names, or on the hub, under the same permissions."""
    name = adapter.settings.get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise CheckpointError(f"{adapter.folder / ADAPTER_CONFIG}: names no base model; set base_model_name_or_path")
    base = adapter.folder / name
    if not base.exists():
        revision = None if Path(name).exists() else adapter.settings.get("revision")
        permissions = {"allow_pickle": source.allow_pickle, "allow_remote_code": source.allow_remote_code}
        base = resolve(CheckpointSource(source=name, revision=revision or None, **permissions))
    if (base / ADAPTER_CONFIG).is_file():
        raise CheckpointError(f"{adapter.folder}: its base {name} is itself an adapter; merge that one first")
    return base


def with_head_of(adapter: Adapter, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The base's config with as many labels as the adapter's head has; the base's names stay where they fit."""
    labels = adapter.labels
    named = raw.get("id2label")
    if labels is None or (isinstance(named, dict) and len(named) == labels):
        return dict(raw)
    return {**raw, "id2label": {str(index): f"LABEL_{index}" for index in range(labels)}, "label2id": {}}


def merge(model: Any, adapter: Adapter) -> Any:
    """`model` with the adapter added to its weights. Raises CheckpointError when a tensor finds no place."""
    from peft import PeftModel, get_peft_model_state_dict

    wrapped = PeftModel.from_pretrained(model, str(adapter.folder), is_trainable=False)
    placed, given = set(get_peft_model_state_dict(wrapped)), {tensor.name for tensor in adapter.tensors}
    if placed != given:
        lost = sorted(placed ^ given)
        raise CheckpointError(
            f"{adapter.folder}: adapter and base do not belong together, {len(lost)} tensors differ, e.g. {lost[0]!r}"
        )
    return wrapped.merge_and_unload()


def require_peft(where: Path) -> None:
    """Raises CheckpointError when peft is not installed."""
    from importlib.util import find_spec

    if find_spec("peft") is None:
        raise CheckpointError(f"{where}: reading an adapter needs the peft package; pip install 'assay[peft]'")


def _check_sizes(adapter: Adapter) -> None:
    """Ranks and counts are allocated before adapter weights are compared, so they are compared here first."""
    where = adapter.folder / ADAPTER_CONFIG
    if adapter.settings.get("layer_replication"):
        raise CheckpointError(f"{where}: layer_replication builds another model than its base; merge it beforehand")
    largest = max(max(tensor.shape, default=1) for tensor in adapter.tensors)
    for key, value in integers(adapter.settings):
        if value > max(largest, _FLOOR):
            raise CheckpointError(f"{where}: {key} is {value:,}, more than the adapter's weights can hold")
