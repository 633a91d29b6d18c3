"""`inspect_checkpoint`: what a checkpoint is and offers, before its weights are loaded."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from harness.api.checkpoint import CheckpointInfo, CheckpointSource
from harness.api.isolation import Isolation
from harness.api.needs import Need
from harness.api.permissions import NOTHING, Permissions
from harness.api.staging import Staged
from harness.checkpoint.findings import Findings, described
from harness.checkpoint.identity import fingerprint_of
from harness.checkpoint.isolated.client import ask, start
from harness.checkpoint.quiet import quiet
from harness.checkpoint.reason import reason
from harness.checkpoint.resolve import resolve
from harness.checkpoint.shapes import parameter_count, position_limit
from harness.checkpoint.stage import stage
from harness.checkpoint.survey import Survey, survey, tokenizer_of
from harness.checkpoint.tensors import Tensor
from harness.checkpoint.tokenizer import tokenizer_limit, unnamed_tokens
from harness.errors import CheckpointError

_SPREAD = 40
"""Bytes of memory for each byte of a vocabulary's file: what tokenizers of 10 MB took, doubled."""
_WEIGHTS = {".safetensors", ".bin", ".gguf"}
_DEFAULT_TOKENS = 512
"""Where neither model nor tokenizer sets a limit (XLNet): what such models were pre-trained on."""


def inspect_checkpoint(source: CheckpointSource, permissions: Permissions = NOTHING) -> CheckpointInfo:
    """Find and check a checkpoint without loading weights or running its code.

    Its bytes are copied to a private folder and parsed first by a confined process. Raises CheckpointError.
    """
    start()
    path = resolve(source, permissions)
    found, staged = examine(path, source, permissions)
    return described(found, source, path, permissions, staged)


def examine(path: Path, source: CheckpointSource, permissions: Permissions) -> tuple[Findings, Staged]:
    """What the files of the checkpoint at `path` are, and the private copy they were read from.

    Raises CheckpointError.
    """
    staged = stage(path, source, permissions)
    with quiet(), staged.named():
        isolation = _examined(staged)
        found = survey(staged)
        print_ = fingerprint_of(found, staged)
        unnamed = _unnamed(isolation, found)
    limit, assumed = _max_tokens(found)
    offers = {Need.EMBEDDINGS}
    if found.choice.head.need is not None:
        offers.add(found.choice.head.need)
    lacks = _lacks(unnamed, offers)
    lacking = [f"No probe reads its {need}: {why}." for need, why in lacks.items() if need is not Need.START_TOKEN]
    findings = Findings(
        architecture=_architecture(found),
        model_type=_model_type(found),
        offers=tuple(sorted(offers - lacks.keys())),
        labels=_labels(found),
        max_tokens=limit,
        parameters=_parameters(found),
        fingerprint=print_,
        isolation=isolation,
        lacks=lacks,
        notes=found.notes,
        use_notes=(*([assumed] if assumed else []), *lacking),
    )
    return findings, staged


def _examined(staged: Staged) -> Isolation:
    """What confined the process that parsed it first. Raises CheckpointError where that process refused it."""
    if staged.remote:
        return Isolation("none", why="its own code is run, as --allow-remote-code says")
    size = sum(file.stat().st_size for file in staged.private.rglob("*") if file.suffix not in _WEIGHTS)
    return ask("examine", staged, size=_SPREAD * size, model_type=str(staged.raw.get("model_type", "")))


def _unnamed(isolation: Isolation, found: Survey) -> tuple[str, ...]:
    """Tokens that probes need and the tokenizer has not; none known of where loading it would run its own code."""
    if isolation.kind == "process" or found.remote:
        return isolation.unnamed
    try:
        return unnamed_tokens(tokenizer_of(found))
    except Exception as error:  # loaders of third parties raise anything on files they cannot read
        raise CheckpointError(f"{found.path}: cannot be loaded ({reason(error)})") from error


def _lacks(unnamed: Collection[str], offers: Collection[Need]) -> dict[Need, str]:
    """What a head would offer if the tokenizer had the tokens for it, each with the reason."""
    lacks: dict[Need, str] = {}
    if "mask" in unnamed and Need.MASKED_LM in offers:
        lacks[Need.MASKED_LM] = "its tokenizer names no mask token, so nothing can be masked"
    if "start" in unnamed and Need.CAUSAL_LM in offers:
        lacks[Need.START_TOKEN] = "its tokenizer names no BOS and no EOS token to start a text with"
    return lacks


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
    if found.gguf is not None:
        return found.gguf.architecture
    return str(found.model.config.model_type) if found.model is not None else ""


def _labels(found: Survey) -> tuple[str, ...]:
    head = found.choice.head
    if found.model is None or not head.classifies:
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
