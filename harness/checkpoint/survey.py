"""Everything about a checkpoint that inspecting and loading both need, established without its weights or its code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.api.permissions import Permissions
from harness.api.staging import Staged
from harness.checkpoint.adapter import Adapter, read_adapter
from harness.checkpoint.config import ModelConfig, build_config, check_counts
from harness.checkpoint.files import CONFIG, Format, Layout, lay_out
from harness.checkpoint.gguf import GgufHeader, read_gguf
from harness.checkpoint.gguf_once import read_once
from harness.checkpoint.heads import Head, HeadChoice, head_of, head_of_task
from harness.checkpoint.quiet import offline
from harness.checkpoint.shapes import build_empty, check_shapes
from harness.checkpoint.tensors import Tensor, read_tensors
from harness.checkpoint.tied import check_tied
from harness.checkpoint.tokenizer import load_gguf_tokenizer, load_tokenizer, require_tokenizer
from harness.errors import CheckpointError

_PICKLED_TENSORS = 2_000
"""Assumed of a pickle, which has no header to count them in: more than a dense BERT or GPT has."""
_STAGED = Permissions(pickle=True)
"""What lies in the private folder has been allowed to get there."""


@dataclass(frozen=True, slots=True)
class Survey:
    """A checkpoint found sound. `model` is `None` for GGUF (`gguf` describes it) and for remote code (not yet run)."""

    path: Path
    layout: Layout
    choice: HeadChoice
    tensors: tuple[Tensor, ...]
    model: ModelConfig | None = None
    empty: Any | None = None
    """The model on the meta device."""
    tokenizer: Path | None = None
    adapter: Adapter | None = None
    gguf: GgufHeader | None = None

    @property
    def remote(self) -> bool:
        """Whether code shipped with the checkpoint is to be run."""
        return self.model is not None and self.model.remote

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the report must know."""
        own = self.model.notes if self.model is not None else ()
        return (*own, *([self.choice.note] if self.choice.note else []))


def survey(staged: Staged) -> Survey:
    """Check the files of a private folder against each other. Raises CheckpointError with the first thing wrong."""
    layout = lay_out(staged.model, _STAGED)
    if layout.format is Format.GGUF:
        header = read_gguf(layout.files[0])
        largest = max((size for tensor in header.tensors for size in tensor.shape), default=0)
        check_counts(header.metadata, staged.model, tensors=len(header.tensors), labels=0, largest=largest)
        return Survey(staged.origin, layout, HeadChoice(Head.CAUSAL_LM), header.tensors, gguf=header)
    adapter = read_adapter(staged.adapter) if staged.adapter is not None else None
    return _of_folder(staged, layout, adapter)


def _of_folder(staged: Staged, layout: Layout, adapter: Adapter | None) -> Survey:
    tensors = read_tensors(layout) if layout.format is Format.SAFETENSORS else ()
    model = build_config(staged)
    choice = head_of_task(adapter.task, model.config, str(staged.origin)) if adapter is not None else None
    if choice is None:
        choice = head_of(model.architecture, model.config)
    empty = None
    if not model.remote:
        numbers = sum(tensor.size for tensor in tensors) or sum(file.stat().st_size for file in layout.files)
        empty = build_empty(
            model.config,
            choice.head,
            str(layout.folder / CONFIG),
            numbers=numbers,
            tensors=len(tensors) or _PICKLED_TENSORS,
        )
        if getattr(empty, "main_input_name", "input_ids") != "input_ids":
            raise CheckpointError(
                f"{staged.origin}: {model.architecture} does not read text; Assay audits BERT and GPT models"
            )
        check_shapes(empty, tensors, str(layout.folder))
        check_tied(empty, tensors, str(layout.folder))
    folders = (layout.folder,) if staged.adapter is None else (staged.adapter, layout.folder)
    tokenizer = require_tokenizer(folders)
    return Survey(staged.origin, layout, choice, tensors, model, empty, tokenizer, adapter)


def tokenizer_of(found: Survey) -> Any:
    """transformers.PreTrainedTokenizerBase of a checkpoint found sound."""
    with offline(), read_once(found.gguf):
        if found.gguf is not None:
            return load_gguf_tokenizer(found.layout.files[0], found.gguf.metadata)
        return load_tokenizer(found.tokenizer or found.layout.folder, remote=found.remote)
