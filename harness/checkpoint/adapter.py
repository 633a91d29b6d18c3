"""PEFT adapters: found, checked, tied to their base, and merged into it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.checkpoint.adapter_files import ADAPTER_WEIGHTS
from harness.checkpoint.config import integers
from harness.checkpoint.files import ADAPTER_CONFIG, read_json
from harness.checkpoint.same import answers, difference, some_rows
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
    """`model` with the adapter added to its weights, which changes no answer of the two beside each other.

    Raises CheckpointError when a tensor finds no place, or when the merged model is another function.
    """
    from peft import PeftModel, get_peft_model_state_dict

    wrapped = PeftModel.from_pretrained(model, str(adapter.folder), is_trainable=False)
    placed = set(get_peft_model_state_dict(wrapped, save_embedding_layers=False))
    given = {tensor.name for tensor in adapter.tensors}
    # peft saves an adapted embedding or head whole as well
    given -= {name for name in wrapped.state_dict() if name.endswith(".base_layer.weight")} - placed
    if placed != given:
        lost = sorted(placed ^ given)
        raise CheckpointError(
            f"{adapter.folder}: adapter and base do not belong together, {len(lost)} tensors differ, e.g. {lost[0]!r}"
        )
    wrapped.eval()
    rows = some_rows(model)
    before = answers(wrapped, rows)
    untied = _untie_adapted(wrapped)
    merged = wrapped.merge_and_unload().eval()
    if untied:
        merged.config.tie_word_embeddings = False
    gap = difference(before, answers(merged, rows), merged.dtype)
    if gap is not None:
        raise CheckpointError(
            f"{adapter.folder}: merging the adapter changes what the model says (a logit by {gap:.3g}); "
            "merge it yourself, check it, and audit the full model"
        )
    return merged


def _untie_adapted(wrapped: Any) -> bool:
    """Give an adapted layer weights of its own where another layer uses the same; whether any did.

    An adapter belongs to one layer; added to weights that embedding and head share it would change both
    (github.com/huggingface/peft/issues/2777).
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    modules = list(wrapped.modules())
    users = Counter(id(weight) for module in modules for weight in module.parameters(recurse=False))
    untied = False
    for layer in [module for module in modules if isinstance(module, BaseTunerLayer)]:
        base = layer.get_base_layer()
        for name, weight in list(base.named_parameters(recurse=False)):
            if users[id(weight)] > 1:
                users[id(weight)] -= 1
                setattr(base, name, type(weight)(weight.detach().clone(), requires_grad=False))
                untied = True
    return untied


def _check_sizes(adapter: Adapter) -> None:
    """Ranks and counts are allocated before adapter weights are compared, so they are compared here first."""
    where = adapter.folder / ADAPTER_CONFIG
    largest = max(max(tensor.shape, default=1) for tensor in adapter.tensors)
    for key, value in integers(adapter.settings):
        if value > max(largest, _FLOOR):
            raise CheckpointError(f"{where}: {key} is {value:,}, more than the adapter's weights can hold")
