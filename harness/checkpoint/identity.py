"""The fingerprint of a checkpoint in its private folder: over every byte that a loader is handed from there."""

from __future__ import annotations

from harness.api.checkpoint import Fingerprint
from harness.api.staging import Staged
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
from harness.checkpoint.survey import Survey


def fingerprint_of(found: Survey, staged: Staged) -> Fingerprint:
    """Weights, config (as shipped, which holds all that was handed on), tokenizer."""
    if found.gguf is not None:
        whole = digest_files(found.layout.files)
        return fingerprint(whole, whole, whole)
    weights = staged.weights or _digest(found)
    config = digest_config(staged.raw, found.layout.folder)
    if found.adapter is not None:
        weights = digest_texts([digest_tensors(found.adapter.tensors), weights])
        config = digest_texts([digest_config(_lasting(found.adapter), found.adapter.folder), config])
    return fingerprint(weights, config, digest_tokenizer(found.tokenizer or found.layout.folder))


def _digest(found: Survey) -> str:
    safe = found.layout.format is Format.SAFETENSORS
    return digest_tensors(found.tensors) if safe else digest_files(found.layout.files)


def _lasting(adapter: Adapter) -> dict[str, object]:
    """Adapter settings as they were handed on; where the base lies is no part of them, its content is digested."""
    return dict(adapter.settings)
