"""Scorers over tiny checkpoints, and the plainest possible answers to check them against."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from harness.checkpoint import CheckpointSource, LoadedCheckpoint, inspect_checkpoint, load_checkpoint
from harness.scorer.hf import HFScorer
from tests.tiny import make_checkpoint

ATOL = 1e-4
"""The tolerance HFScorer states."""
BATCHES = (1, 7, 64)
Array = npt.NDArray[np.float64]


@cache
def _folder(kind: str, head: str) -> Path:
    return make_checkpoint(Path(mkdtemp()) / f"tiny-{kind}", kind, head)


def load(kind: str, head: str, *, max_tokens: int | None = None, dtype: str = "fp32") -> LoadedCheckpoint:
    """A tiny checkpoint in memory; every call gives a model of its own."""
    info = inspect_checkpoint(CheckpointSource(source=str(_folder(kind, head))))
    loaded = load_checkpoint(info, device="cpu", dtype=dtype)
    return loaded if max_tokens is None else replace(loaded, info=replace(info, max_tokens=max_tokens))


def scorer(kind: str, head: str, *, token_budget: int | None = None, max_tokens: int | None = None) -> HFScorer:
    """A scorer over a tiny checkpoint."""
    return HFScorer(load(kind, head, max_tokens=max_tokens), token_budget=token_budget)


def limit_memory(loaded: LoadedCheckpoint, tokens: int, error: RuntimeError) -> LoadedCheckpoint:
    """The checkpoint on a device that raises `error` for batches of more than `tokens` padded tokens."""

    def refuse(_module: Any, args: Any, inputs: dict[str, Any]) -> None:
        if (args[0] if args else inputs["input_ids"]).numel() > tokens:
            raise error

    loaded.model.base_model.register_forward_pre_hook(refuse, with_kwargs=True)
    return loaded


def random_ids(length: int, seed: int, vocabulary: int) -> tuple[int, ...]:
    """Token ids, none of them special in the tiny tokenizers."""
    return tuple(int(token) for token in np.random.default_rng(seed).integers(10, vocabulary, length))


def all_logprobs(model: Any, ids: tuple[int, ...]) -> Array:
    """log_softmax over the whole vocabulary at every position of one unpadded row, [tokens, vocabulary]."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).logits[0]
    return torch.log_softmax(logits.double(), dim=-1).numpy()
