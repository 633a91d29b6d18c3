"""PEFT adapters: found, checked, tied to their base, and merged into it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.checkpoint.adapter_files import ADAPTER_WEIGHTS
from harness.checkpoint.config import integers
from harness.checkpoint.files import ADAPTER_CONFIG, read_json
from harness.checkpoint.tensors import Tensor, read_header
from harness.errors import CheckpointError

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

    def supplies(self, name: str) -> bool:
        """Whether it holds the base model's tensor `name` whole, e.g. a trained head."""
        return name in {_WRAPPING.sub("", tensor.name) for tensor in self.tensors}


def read_adapter(staged: Path) -> Adapter:
    """The adapter that `stage_adapter` left in a folder. Raises CheckpointError where its numbers are absurd."""
    tensors = tuple(sorted(read_header(staged / ADAPTER_WEIGHTS), key=lambda tensor: tensor.name))
    adapter = Adapter(staged, read_json(staged / ADAPTER_CONFIG), tensors)
    _check_sizes(adapter)
    return adapter


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


def _check_sizes(adapter: Adapter) -> None:
    """Ranks and counts are allocated before adapter weights are compared, so they are compared here first."""
    where = adapter.folder / ADAPTER_CONFIG
    largest = max(max(tensor.shape, default=1) for tensor in adapter.tensors)
    for key, value in integers(adapter.settings):
        if value > max(largest, _FLOOR):
            raise CheckpointError(f"{where}: {key} is {value:,}, more than the adapter's weights can hold")
