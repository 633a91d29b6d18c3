"""`load_checkpoint`: the weights into memory, complete, merged, in eval mode, on a device."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.api.checkpoint import CheckpointInfo, LoadedCheckpoint
from harness.api.staging import Staged
from harness.checkpoint.adapter import merge
from harness.checkpoint.architectures import TEXT_MODELS
from harness.checkpoint.files import Format
from harness.checkpoint.gguf_once import read_once
from harness.checkpoint.hardware import ITEMSIZE, check_memory, pick_device, pick_dtype, torch_dtype
from harness.checkpoint.heads import Head
from harness.checkpoint.identity import fingerprint_of
from harness.checkpoint.isolated.client import ask
from harness.checkpoint.quiet import offline, quiet
from harness.checkpoint.reason import reason
from harness.checkpoint.same import settle_same_padding
from harness.checkpoint.shapes import build_empty, total_bytes
from harness.checkpoint.stage import stage
from harness.checkpoint.survey import Survey, survey, tokenizer_of
from harness.checkpoint.tied import check_tied_pickles
from harness.checkpoint.tokenizer import settle_inputs
from harness.errors import AssayError, CheckpointError

_OF_A_LAYER = re.compile(r"\.\d+\.")
_SMALL = 500_000_000
"""Numbers up to which a trial for a GPU is done in the audit's own number format, and above which in bf16."""


def load_checkpoint(info: CheckpointInfo, *, device: str = "auto", dtype: str = "auto") -> LoadedCheckpoint:
    """Load what `inspect_checkpoint` found: the very bytes its fingerprint is over.

    What makes it usable (padding named, an adapter merged) changes none of its answers; see `harness.checkpoint.same`.

    Args:
        info: the checkpoint; where its bytes were not kept they are staged and fingerprinted again.
        device: auto, cpu, cuda or mps.
        dtype: auto, fp32, bf16 or fp16.

    Raises:
        CheckpointError: it has changed, does not fit in memory, lacks weights, or cannot be read.
        UsageError: the device is not there.
    """
    where = pick_device(device)
    staged = staged_bytes(info)
    with quiet(), staged.named():
        found = survey(staged)
        kind = pick_dtype(dtype, where, found.tensors)
        if not found.remote:
            _try_first(info, staged, found, kind, where)
        try:
            with read_once(found.gguf):
                model, notes = load_model(found, kind, where)
                tokenizer = tokenizer_of(found)
            model = model.to(where).eval()
        except AssayError:
            raise
        except Exception as error:  # loaders of third parties raise anything on files they cannot read
            raise CheckpointError(f"{info.path}: cannot be loaded ({reason(error)})") from error
    _check_vocabulary(model, tokenizer, info.path)
    settle_inputs(tokenizer, model)
    with quiet():
        moves = settle_same_padding(tokenizer, model, info.max_tokens)
    info = replace(info, notes=(*info.notes, *(note for note in notes if note not in info.notes)))
    return LoadedCheckpoint(info=info, model=model, tokenizer=tokenizer, device=where, dtype=kind, padding_moves=moves)


def staged_bytes(info: CheckpointInfo) -> Staged:
    """The private copy that was inspected, else a new one of the same fingerprint. Raises CheckpointError."""
    if info.staged is not None and info.staged.there:
        return info.staged
    staged = stage(info.path, info.source, info.permissions)
    with quiet(), staged.named():
        if fingerprint_of(survey(staged), staged) != info.fingerprint:
            raise CheckpointError(f"{info.path}: has changed since it was inspected; audit a copy nobody writes to")
    return staged


def load_tokenizer(info: CheckpointInfo) -> Any:
    """The tokenizer alone (transformers.PreTrainedTokenizerBase), of the bytes inspected. Raises CheckpointError."""
    staged = staged_bytes(info)
    with quiet(), staged.named():
        return tokenizer_of(survey(staged))


def _try_first(info: CheckpointInfo, staged: Staged, found: Survey, dtype: str, device: str) -> None:
    """A load and one forward pass in the confined process, as the audit will do it where that is on the CPU."""
    numbers = sum(tensor.size for tensor in found.tensors) or sum(file.stat().st_size for file in found.layout.files)
    kind = dtype if device == "cpu" or numbers < _SMALL else "bf16"
    size = numbers * (ITEMSIZE[kind] + (4 if found.gguf is not None else ITEMSIZE[kind]))
    ask("trial", staged, size=size, model_type=info.model_type, dtype=kind)


def load_model(found: Survey, dtype: str, device: str) -> tuple[Any, list[str]]:
    """transformers.PreTrainedModel with every weight in place, and notes. Raises what its loader raises."""
    with offline(), read_once(found.gguf):
        return (_load_gguf(found, dtype, device), []) if found.gguf is not None else _load_folder(found, dtype, device)


def _load_folder(found: Survey, dtype: str, device: str) -> tuple[Any, list[str]]:
    import transformers

    if found.empty is not None:
        check_memory(total_bytes(found.empty, ITEMSIZE[dtype]), device, str(found.path))
        if found.layout.format is not Format.SAFETENSORS:
            check_tied_pickles(found.empty, found.layout.files, str(found.path))
    model, report = getattr(transformers, found.choice.head.auto_class).from_pretrained(
        str(found.layout.folder),
        config=found.model.config if found.model is not None and not found.remote else None,
        dtype=torch_dtype(dtype),
        use_safetensors=found.layout.format is Format.SAFETENSORS,
        trust_remote_code=found.remote,
        local_files_only=True,
        output_loading_info=True,
    )
    _refuse_incomplete(found, report["missing_keys"])
    return (model if found.adapter is None else merge(model, found.adapter)), _unused(report["unexpected_keys"])


def _load_gguf(found: Survey, dtype: str, device: str) -> Any:
    """A causal LM whose quantised tensors are expanded; the config then no longer calls it quantised."""
    from transformers import AutoConfig, AutoModelForCausalLM

    folder, name = str(found.layout.folder), found.layout.files[0].name
    numbers = sum(tensor.size for tensor in found.tensors)
    check_memory(numbers * (4 + ITEMSIZE[dtype]), device, str(found.path))
    config = AutoConfig.from_pretrained(folder, gguf_file=name, local_files_only=True, trust_remote_code=False)
    if config.model_type not in TEXT_MODELS:
        raise CheckpointError(f"{found.path}: {config.model_type} is no text architecture that Assay reads")
    build_empty(config, Head.CAUSAL_LM, str(found.path), numbers=numbers, tensors=len(found.tensors))
    model, report = AutoModelForCausalLM.from_pretrained(
        folder,
        config=config,
        gguf_file=name,
        dtype=torch_dtype(dtype),
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    _refuse_incomplete(found, report["missing_keys"])
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model


def _refuse_incomplete(found: Survey, missing: Iterable[str]) -> None:
    """Missing weights would be drawn at random; spared are a pooler no probe reads and what the adapter holds."""
    lost = sorted(
        name
        for name in missing
        if not (found.adapter is not None and found.adapter.supplies(name))
        and not (found.choice.head is Head.NONE and "pooler." in name)
    )
    if lost:
        shown = ", ".join(lost[:4]) + (" …" if len(lost) > 4 else "")
        raise CheckpointError(
            f"{found.path}: lacks {len(lost)} weights of its {found.choice.head.auto_class.removeprefix('AutoModel')} "
            f"model ({shown}), which would be random; audit the fine-tuned checkpoint or correct 'architectures'"
        )


def _unused(unexpected: Iterable[str]) -> list[str]:
    """Heads not asked for may stay unread; layers may not, silently."""
    layers = sorted(name for name in unexpected if _OF_A_LAYER.search(name))
    if not layers:
        return []
    return [f"{len(layers)} tensors of layers have no place in the model its config describes, e.g. {layers[0]}."]


def _check_vocabulary(model: Any, tokenizer: Any, path: Path) -> None:
    """A token without an embedding would crash mid-audit; special tokens are spared, as texts rarely hold them."""
    rows = model.get_input_embeddings().weight.shape[0]
    special = set(tokenizer.get_added_vocab())
    beyond = [token for token, index in tokenizer.get_vocab().items() if index >= rows and token not in special]
    if beyond:
        raise CheckpointError(
            f"{path}: the tokenizer knows {len(beyond)} tokens beyond the model's {rows:,} embeddings, e.g. "
            f"{beyond[0]!r}; tokenizer and weights do not belong together"
        )
