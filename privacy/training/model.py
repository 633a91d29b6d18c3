"""The model to train: the base with its own head, or the base's trunk under a new classification head."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from harness.checkpoint import CheckpointInfo, LoadedCheckpoint, load_checkpoint
from harness.errors import CheckpointError
from harness.probe import Need
from privacy.training.spec import TrainSpec

_HEADS = {"masked_lm": Need.MASKED_LM, "causal_lm": Need.CAUSAL_LM}


def load_trainable(
    spec: TrainSpec, base: CheckpointInfo | None, labels: tuple[str, ...], limit: int
) -> tuple[Any, Any]:
    """(model, tokenizer) in float32 on the CPU.

    A classifier keeps its head when it has exactly the classes `labels`; any other base is given a new head, drawn
    from torch's global random state. The tokenizer of a classifier is saved with `limit`, so that an audit cuts texts
    where training did. Raises CheckpointError when the base lacks the head of a language-model task.
    """
    if base is None:
        raise NotImplementedError("fresh models come next")
    need = _HEADS.get(spec.task)
    if need is not None and need not in base.offers:
        offers = ", ".join(sorted(base.offers)) or "nothing"
        raise CheckpointError(
            f"{base.source.source}: offers {offers}, but task {spec.task} goes on training a {need}; choose such a base"
        )
    loaded = load_checkpoint(base, device="cpu", dtype="fp32")
    if need is not None:
        return loaded.model, loaded.tokenizer
    has_head = Need.SEQUENCE_CLASSIFIER in base.offers and base.labels == labels
    loaded.tokenizer.model_max_length = limit
    return loaded.model if has_head else _with_new_head(loaded, labels), loaded.tokenizer


def _with_new_head(loaded: LoadedCheckpoint, labels: tuple[str, ...]) -> Any:
    """A sequence classifier on a copy of the trunk. Only a pooler may be new beside the head."""
    import torch
    from transformers import AutoModelForSequenceClassification

    config = deepcopy(loaded.model.config)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}
    config.problem_type = "single_label_classification"
    model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    result = model.base_model.load_state_dict(loaded.model.base_model.state_dict(), strict=False)
    strays = [name for name in (*result.missing_keys, *result.unexpected_keys) if not name.startswith("pooler.")]
    if strays:
        raise CheckpointError(
            f"{loaded.info.source.source}: no classification head fits its trunk ({strays[0]!r} has no counterpart)"
        )
    return model
