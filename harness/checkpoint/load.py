"""`load_checkpoint`: the weights into memory, complete, merged, in eval mode, on a device."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.checkpoint.adapter import merge
from harness.checkpoint.files import Format
from harness.checkpoint.hardware import ITEMSIZE, check_memory, pick_device, pick_dtype, torch_dtype
from harness.checkpoint.heads import Head
from harness.checkpoint.quiet import quiet
from harness.checkpoint.reason import reason
from harness.checkpoint.shapes import build_empty, total_bytes
from harness.checkpoint.source import CheckpointInfo, LoadedCheckpoint
from harness.checkpoint.survey import Survey, survey
from harness.checkpoint.tokenizer import load_gguf_tokenizer, load_tokenizer, settle_inputs, settle_padding
from harness.errors import AssayError, CheckpointError

_OF_A_LAYER = re.compile(r"\.\d+\.")


def load_checkpoint(info: CheckpointInfo, *, device: str = "auto", dtype: str = "auto") -> LoadedCheckpoint:
    """Load what `inspect_checkpoint` found.

    Args:
        info: the checkpoint; its files are checked again, as they may have changed.
        device: auto, cpu, cuda or mps.
        dtype: auto, fp32, bf16 or fp16.

    Raises:
        CheckpointError: it does not fit in memory, lacks weights, or cannot be read.
        UsageError: the device is not there.
    """
    where = pick_device(device)
    with quiet():
        found = survey(info.path, info.source)
        kind = pick_dtype(dtype, where, found.tensors)
        try:
            model, notes = _load_model(found, kind, where)
            tokenizer = _load_tokenizer(found)
            model = model.to(where).eval()
        except AssayError:
            raise
        except Exception as error:  # loaders of third parties raise anything on files they cannot read
            raise CheckpointError(f"{info.path}: cannot be loaded ({reason(error)})") from error
    _check_vocabulary(model, tokenizer, info.path)
    settle_inputs(tokenizer, model)
    settle_padding(tokenizer, model.config)
    info = replace(info, notes=(*info.notes, *(note for note in notes if note not in info.notes)))
    return LoadedCheckpoint(info=info, model=model, tokenizer=tokenizer, device=where, dtype=kind)


def _load_model(found: Survey, dtype: str, device: str) -> tuple[Any, list[str]]:
    if found.gguf is not None:
        return _load_gguf(found, dtype, device), []
    import transformers

    if found.empty is not None:
        check_memory(total_bytes(found.empty, ITEMSIZE[dtype]), device, str(found.path))
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
    config = AutoConfig.from_pretrained(folder, gguf_file=name, local_files_only=True)
    build_empty(config, Head.CAUSAL_LM, str(found.path), numbers=numbers, tensors=len(found.tensors))
    model, report = AutoModelForCausalLM.from_pretrained(
        folder,
        config=config,
        gguf_file=name,
        dtype=torch_dtype(dtype),
        local_files_only=True,
        output_loading_info=True,
    )
    _refuse_incomplete(found, report["missing_keys"])
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model


def _load_tokenizer(found: Survey) -> Any:
    if found.gguf is not None:
        return load_gguf_tokenizer(found.layout.files[0], found.gguf.metadata)
    return load_tokenizer(found.tokenizer or found.layout.folder, remote=found.remote)


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
