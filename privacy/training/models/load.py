"""The model to train: the base with its own head, its trunk under a new head, or one from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
import transformers
from safetensors import safe_open

from harness.api.needs import Need
from harness.checkpoint import CheckpointInfo, LoadedCheckpoint, load_checkpoint, staged_bytes
from harness.checkpoint.quiet import quiet
from harness.checkpoint.survey import survey
from harness.checkpoint.tokenizer import settle_padding
from harness.errors import CheckpointError, UsageError
from privacy.training.data.load import TrainingData
from privacy.training.models.fresh import make_fresh
from privacy.training.models.heads import needs_language_head
from privacy.training.models.lora import merged
from privacy.training.models.mean_pooling import (
    average_last,
    averaging_names,
    check_averaged,
    dense_names,
    is_read,
    layers_read,
)
from privacy.training.models.modes import begin_at_zero, choose_trained
from privacy.training.models.next_sentence import has_sentence_head
from privacy.training.models.quantization import base_layers, quantize, restored
from privacy.training.settings.fresh_spec import FreshModel
from privacy.training.settings.spec import TrainSpec

_CLASSES = {
    "classification": "AutoModelForSequenceClassification",
    "masked_lm": "AutoModelForMaskedLM",
    "causal_lm": "AutoModelForCausalLM",
}


def load_trainable(spec: TrainSpec, base: CheckpointInfo | None, data: TrainingData, limit: int) -> tuple[Any, Any]:
    """(model, tokenizer) in float32 on the CPU; with `spec.lora` frozen, under adapters. Save what `finished` gives.

    A classifier keeps its head when it has exactly the classes of `data`; any other base is given a new head, as is a
    bare encoder that becomes a masked LM. What is new (a head, adapters, a fresh model) is drawn from torch's global
    random state, but for the class scores of a head that is trained alone with privacy, which begin at zero. The
    tokenizer of a classifier is saved with `limit`, so that an audit cuts texts where training did.

    Raises CheckpointError when the base lacks the head of a language-model task, or its architecture that of the
    next-sentence objective; UsageError or DataError for a fresh model or adapters that cannot be made.
    """
    whole = load_whole(spec, base, data, limit)
    return trainable(whole, spec), whole.tokenizer


@dataclass(frozen=True, slots=True)
class Whole:
    """A model before it is chosen what of it is trained."""

    model: Any
    tokenizer: Any
    new: frozenset[str] = frozenset()
    """Parameters drawn at random."""
    frozen: frozenset[str] = frozenset()
    """Parameters that no mode trains."""


def trainable(whole: Whole, spec: TrainSpec) -> Any:
    """The model, of which only what `spec` trains asks for gradients; for lora under adapters."""
    how = spec.lora.quantization if spec.lora is not None else "none"
    layers = base_layers(whole.model, whole.new | whole.frozen) if how != "none" else []  # before adapters rename them
    model = choose_trained(whole.model, spec, whole.new, whole.frozen)
    if spec.mode == "head" and spec.privacy is not None:
        begin_at_zero(model, whole.new)
    if how != "none":
        quantize(model, layers, how)
    if spec.gradient_checkpointing:
        _checkpoint(model)
    return model


def load_whole(spec: TrainSpec, base: CheckpointInfo | None, data: TrainingData, limit: int) -> Whole:
    """See `load_trainable`."""
    if spec.fresh is not None:
        whole = Whole(*_fresh(spec, spec.fresh, data))
    elif base is not None:
        whole = _from_base(spec, base, data.label_names)
    else:
        raise UsageError(f"{spec.base}: not inspected, so there is nothing to start from")
    if spec.task == "classification":
        whole.tokenizer.model_max_length = limit
    return whole


def finished(model: Any) -> Any:
    """The trained model as it is to be saved: an ordinary one of its architecture, adapters merged.

    A quantised base is saved as the weights that it stood for, which the adapters were trained on: that is the function
    that was trained, and no copy of the base in full precision has to be kept for it.
    """
    return merged(restored(model))


def _checkpoint(model: Any) -> None:
    """Raises UsageError for an architecture that transformers cannot run in regions."""
    if not model.supports_gradient_checkpointing:
        raise UsageError(
            f"gradient_checkpointing: {model.config.model_type} models cannot run so; leave it out and raise "
            "accumulation"
        )
    # the other way of torch's loses regions whose input asks for no gradient, as under adapters
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def _fresh(spec: TrainSpec, fresh: FreshModel, data: TrainingData) -> tuple[Any, Any]:
    config, tokenizer = make_fresh(spec, fresh, data)
    settle_padding(tokenizer, config)
    if spec.task == "classification":
        _name_classes(config, data.label_names)
    return _random(config, "AutoModelForPreTraining" if spec.next_sentence else _CLASSES[spec.task]), tokenizer


def _from_base(spec: TrainSpec, base: CheckpointInfo, labels: tuple[str, ...]) -> Whole:
    bare = needs_language_head(spec, base)
    loaded = load_checkpoint(base, device="cpu", dtype="fp32")
    settle_padding(loaded.tokenizer, loaded.model.config)  # batches need it, and it is saved with what is trained
    model, new = loaded.model, set[str]()
    if bare:
        model, new = _with_masked_head(loaded)
        loaded = replace(loaded, model=model)
    if spec.next_sentence:
        model, more = _with_sentence_head(loaded)
        new |= more
    elif spec.task == "classification" and not _classifies(base, labels):
        model, new = _with_classifier(loaded, labels, spec)
    elif spec.pooling == "mean":
        raise UsageError(
            f"pooling: {base.source.source} has a head for these classes, which reads what it reads; leave it out"
        )
    frozen = averaging_names(model) if spec.pooling == "mean" else set()
    return Whole(model, loaded.tokenizer, frozenset(new), frozenset(frozen))


def _classifies(base: CheckpointInfo, labels: tuple[str, ...]) -> bool:
    return Need.SEQUENCE_CLASSIFIER in base.offers and base.labels == labels


def _with_classifier(loaded: LoadedCheckpoint, labels: tuple[str, ...], spec: TrainSpec) -> tuple[Any, set[str]]:
    """A sequence classifier on a copy of the trunk, and its new parameters: the head, and a pooler if there is none.

    For mean pooling with one more layer, which averages over the tokens, on those up to `spec.pooling_layer`.
    """
    config, mean = deepcopy(loaded.model.config), spec.pooling == "mean"
    _name_classes(config, labels)
    trained = loaded.model.base_model.state_dict()
    if mean:
        check_averaged(config.model_type)
        kept = layers_read(spec.pooling_layer, config.num_hidden_layers)
        config.num_hidden_layers = kept + 1
        trained = {name: value for name, value in trained.items() if is_read(name, kept)}
    model = _random(config, _CLASSES["classification"])
    averaging = averaging_names(model) if mean else set()
    result = model.base_model.load_state_dict(trained, strict=False)
    known = {name.removeprefix(f"{model.base_model_prefix}.") for name in averaging}
    strays = [
        name
        for name in (*result.missing_keys, *result.unexpected_keys)
        if not name.startswith("pooler.") and name not in known
    ]
    if strays:
        raise CheckpointError(
            f"{loaded.info.source.source}: no classification head fits its trunk ({strays[0]!r} has no counterpart)"
        )
    trunk = f"{model.base_model_prefix}."
    pooler = {name for name, _ in model.named_parameters() if name.startswith(f"{trunk}pooler.")}
    stored = _stored(loaded.info, model, pooler)
    missing = {trunk + name for name in result.missing_keys}
    model.load_state_dict({name: value for name, value in stored.items() if name in missing}, strict=False)
    heads = {name for name, _ in model.named_parameters() if not name.startswith(trunk)}
    if mean:
        average_last(model)
        return model, heads - dense_names(model)
    return model, heads | (pooler - stored.keys())


def _with_masked_head(loaded: LoadedCheckpoint) -> tuple[Any, set[str]]:
    """A masked LM on a copy of the trunk, and its new parameters; what its files hold of a head is taken from there."""
    source = loaded.info.source.source
    try:
        model = _random(deepcopy(loaded.model.config), _CLASSES["masked_lm"])
    except ValueError as error:  # transformers knows none for this architecture
        raise CheckpointError(
            f"{source}: {loaded.info.model_type} models have no masked-LM head; choose BERT"
        ) from error
    result = model.base_model.load_state_dict(loaded.model.base_model.state_dict(), strict=False)
    strays = [*result.missing_keys, *(name for name in result.unexpected_keys if not name.startswith("pooler."))]
    if strays:
        raise CheckpointError(f"{source}: no masked-LM head fits its trunk ({strays[0]!r} has no counterpart)")
    heads = {name for name, _ in model.named_parameters() if not name.startswith(f"{model.base_model_prefix}.")}
    stored = _stored(loaded.info, model, heads)
    model.load_state_dict(stored, strict=False)
    return model, heads - stored.keys()


def _with_sentence_head(loaded: LoadedCheckpoint) -> tuple[Any, set[str]]:
    """The masked LM under its pre-training class, and its new parameters: none where the base was trained so."""
    model = _random(deepcopy(loaded.model.config), "AutoModelForPreTraining")
    result = model.load_state_dict(loaded.model.state_dict(), strict=False)
    if not has_sentence_head(model) or result.unexpected_keys:
        raise CheckpointError(
            f"{loaded.info.source.source}: {loaded.info.model_type} models have no head that tells whether a sentence "
            "follows; bert, megatron-bert and albert have one, others train without next_sentence"
        )
    stored = _stored(loaded.info, model, result.missing_keys)
    model.load_state_dict(stored, strict=False)
    return model, set(result.missing_keys) - stored.keys()


def _stored(info: CheckpointInfo, model: Any, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Those of the parameters that the checkpoint's files hold, though the class it was loaded as may have no place.

    bert-base-uncased, for one, holds a pooler and a next-sentence head, which a masked LM leaves unread.
    """
    staged = staged_bytes(info)  # kept while its files are read
    files = {tensor.name: tensor.file for tensor in survey(staged).tensors}
    found = {}
    for name in names:
        spellings = (name, name.removeprefix(f"{model.base_model_prefix}."))
        key = next((spelling for spelling in spellings if spelling in files), None)
        if key is not None:
            with safe_open(files[key], "pt") as handle:
                found[name] = handle.get_tensor(key).float()
    return found


def _random(config: Any, auto_class: str) -> Any:
    with quiet():
        return getattr(transformers, auto_class).from_config(config, dtype=torch.float32)


def _name_classes(config: Any, labels: tuple[str, ...]) -> None:
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}
    config.problem_type = "single_label_classification"
