"""`inspect_checkpoint`: what a checkpoint is and offers, before its weights are loaded."""

from __future__ import annotations

from pathlib import Path

from harness.checkpoint.adapter import Adapter
from harness.checkpoint.files import Format
from harness.checkpoint.fingerprint import (
    digest_config,
    digest_files,
    digest_tensors,
    digest_texts,
    digest_tokenizer,
    fingerprint,
)
from harness.checkpoint.quiet import quiet
from harness.checkpoint.resolve import resolve
from harness.checkpoint.shapes import parameter_count, position_limit
from harness.checkpoint.source import CheckpointInfo, CheckpointSource, Fingerprint
from harness.checkpoint.survey import Survey, survey
from harness.checkpoint.tensors import Tensor
from harness.checkpoint.tokenizer import tokenizer_limit
from harness.manifest import MANIFEST_NAME, TrainingManifest, read_manifest
from harness.probe import Need

_DEFAULT_TOKENS = 512
"""Where neither model nor tokenizer sets a limit (XLNet): what such models were pre-trained on."""


def inspect_checkpoint(source: CheckpointSource) -> CheckpointInfo:
    """Find and check a checkpoint without loading weights or running its code. Raises CheckpointError."""
    path = resolve(source)
    with quiet():
        found = survey(path, source)
    print_ = _fingerprint(found)
    manifest, why_none = _manifest(path, print_.weights)
    limit, assumed = _max_tokens(found)
    offers = {Need.EMBEDDINGS}
    if found.choice.offered and found.choice.head.need is not None:
        offers.add(found.choice.head.need)
    if manifest is not None:
        offers.add(Need.TRAINING_MANIFEST)
    return CheckpointInfo(
        source=source,
        path=path,
        architecture=_architecture(found),
        model_type=_model_type(found),
        offers=frozenset(offers),
        labels=_labels(found),
        max_tokens=limit,
        parameters=_parameters(found),
        fingerprint=print_,
        manifest=manifest,
        notes=(*found.notes, *(note for note in (why_none, assumed) if note)),
    )


def _fingerprint(found: Survey) -> Fingerprint:
    if found.gguf is not None:
        whole = digest_files(found.layout.files)
        return fingerprint(whole, whole, whole)
    safe = found.layout.format is Format.SAFETENSORS
    weights = digest_tensors(found.tensors) if safe else digest_files(found.layout.files)
    config = digest_config(found.raw)
    if found.adapter is not None:
        weights = digest_texts([digest_tensors(found.adapter.tensors), weights])
        config = digest_texts([digest_config(_lasting(found.adapter)), config])
    return fingerprint(weights, config, digest_tokenizer(found.tokenizer or found.layout.folder))


def _lasting(adapter: Adapter) -> dict[str, object]:
    """Adapter settings without where the base lies (its content is digested) and the version that saved them."""
    return {
        key: value for key, value in adapter.settings.items() if key not in {"base_model_name_or_path", "peft_version"}
    }


def _manifest(path: Path, weights: str) -> tuple[TrainingManifest | None, str | None]:
    """The manifest that belongs to these weights, or a sentence why the one lying there does not."""
    folder = path if path.is_dir() else path.parent
    manifest = read_manifest(folder)
    if manifest is None or manifest.weights == weights:
        return manifest, None
    return None, (
        f"{MANIFEST_NAME} does not belong to these weights ({manifest.weights[:12]} against {weights[:12]}): "
        "ignored, so no training manifest is offered."
    )


def _max_tokens(found: Survey) -> tuple[int, str | None]:
    """The smaller of the model's and the tokenizer's limit, and a note where neither sets one."""
    if found.gguf is not None:
        limits = [found.gguf.count("context_length")]
    else:
        positions = position_limit(found.model.config, found.empty) if found.model is not None else None
        limits = [positions, tokenizer_limit(found.tokenizer) if found.tokenizer is not None else None]
    known = [limit for limit in limits if limit is not None]
    if known:
        return min(known), None
    return _DEFAULT_TOKENS, f"Neither model nor tokenizer limits the text length: cut at {_DEFAULT_TOKENS} tokens."


def _architecture(found: Survey) -> str:
    if found.model is not None:
        return found.model.architecture
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return str(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(_model_type(found), ""))


def _model_type(found: Survey) -> str:
    return found.gguf.architecture if found.gguf is not None else str(found.raw["model_type"])


def _labels(found: Survey) -> tuple[str, ...]:
    head = found.choice.head
    if found.model is None or not found.choice.offered or not head.classifies:
        return ()
    names = found.model.config.id2label
    return tuple(str(names[index]) for index in sorted(names))


def _parameters(found: Survey) -> int:
    """Of the file's header, integers (buffers) left out; of pickled weights, what the config describes; else 0."""
    if found.tensors:
        return sum(tensor.size for tensor in found.tensors if _is_float(tensor))
    return parameter_count(found.empty) if found.empty is not None else 0


def _is_float(tensor: Tensor) -> bool:
    return not tensor.dtype.startswith(("I", "U", "B")) or tensor.dtype == "BF16"
