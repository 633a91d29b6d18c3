"""Everything about a checkpoint that inspecting and loading both need, established without its weights or its code."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.checkpoint.adapter import Adapter, base_of, read_adapter, require_peft, with_head_of
from harness.checkpoint.config import ModelConfig, build_config
from harness.checkpoint.files import Format, Layout, lay_out, read_json
from harness.checkpoint.gguf import GgufHeader, read_gguf
from harness.checkpoint.heads import Head, HeadChoice, head_of, head_of_task
from harness.checkpoint.shapes import build_empty, check_shapes
from harness.checkpoint.source import CheckpointSource
from harness.checkpoint.tensors import Tensor, read_tensors
from harness.checkpoint.tokenizer import require_tokenizer
from harness.errors import CheckpointError

CONFIG = "config.json"
_PICKLED_TENSORS = 2_000
"""Assumed of a pickle, which has no header to count them in: more than a dense BERT or GPT has."""


@dataclass(frozen=True, slots=True)
class Survey:
    """A checkpoint found sound. `model` is `None` for GGUF (`gguf` describes it) and for remote code (not yet run)."""

    path: Path
    layout: Layout
    choice: HeadChoice
    tensors: tuple[Tensor, ...]
    raw: dict[str, Any] = field(default_factory=dict)
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


def survey(path: Path, source: CheckpointSource) -> Survey:
    """Check the files at `path` against each other. Raises CheckpointError with the first thing that is wrong."""
    adapter = read_adapter(path)
    if adapter is not None:
        require_peft(path)
    base = base_of(adapter, source) if adapter is not None else path
    layout = lay_out(base, source)
    if layout.format is Format.GGUF:
        if adapter is not None:
            raise CheckpointError(f"{path}: its base {base} is GGUF, into which adapters are not merged")
        header = read_gguf(layout.files[0])
        return Survey(path, layout, HeadChoice(Head.CAUSAL_LM), header.tensors, gguf=header)
    return _of_folder(path, layout, adapter, source)


def _of_folder(path: Path, layout: Layout, adapter: Adapter | None, source: CheckpointSource) -> Survey:
    raw = read_json(layout.folder / CONFIG)
    if adapter is not None:
        raw = with_head_of(adapter, raw)
    tensors = read_tensors(layout) if layout.format is Format.SAFETENSORS else ()
    largest = max((size for tensor in tensors if tensor.size for size in tensor.shape), default=0)
    model = build_config(raw, source, layout.folder / CONFIG, bound=max(largest, len(tensors)))
    where = str(path)
    choice = head_of_task(adapter.task, model.config, where) if adapter is not None else None
    if choice is None:
        choice = head_of(model.architecture, model.config, where)
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
            raise CheckpointError(f"{path}: {model.architecture} does not read text; Assay audits BERT and GPT models")
        check_shapes(empty, tensors, str(layout.folder))
    tokenizer = require_tokenizer((path, layout.folder))
    return Survey(path, layout, choice, tensors, raw, model, empty, tokenizer, adapter)
