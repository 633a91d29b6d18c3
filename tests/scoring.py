"""Scorers over tiny checkpoints, and the plainest possible answers to check them against."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from harness.checkpoint import CheckpointInfo, CheckpointSource, Fingerprint, LoadedCheckpoint
from harness.probe import Need
from harness.scorer.hf import HFScorer
from tests.tiny import LABELS, MAX_TOKENS, make_checkpoint

ATOL = 1e-4
"""The tolerance HFScorer states."""
BATCHES = (1, 7, 64)
_HEADS = {
    "masked_lm": ("AutoModelForMaskedLM", Need.MASKED_LM),
    "causal_lm": ("AutoModelForCausalLM", Need.CAUSAL_LM),
    "classifier": ("AutoModelForSequenceClassification", Need.SEQUENCE_CLASSIFIER),
    "base": ("AutoModel", Need.EMBEDDINGS),
}
Array = npt.NDArray[np.float64]


@cache
def _folder(kind: str, head: str) -> Path:
    return make_checkpoint(Path(mkdtemp(prefix="assay-tiny-")), kind, head)


def load(kind: str, head: str, *, max_tokens: int = MAX_TOKENS) -> LoadedCheckpoint:
    """A tiny checkpoint in memory; every call gives a model of its own."""
    folder = _folder(kind, head)
    auto, need = _HEADS[head]
    model = getattr(transformers, auto).from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    info = CheckpointInfo(
        source=CheckpointSource(source=f"tiny-{kind}"),
        path=folder,
        architecture=type(model).__name__,
        model_type=model.config.model_type,
        offers=frozenset({need, Need.EMBEDDINGS}),
        labels=LABELS if head == "classifier" else (),
        max_tokens=max_tokens,
        parameters=model.num_parameters(),
        fingerprint=Fingerprint("0", "0", "0", "0"),
    )
    return LoadedCheckpoint(info=info, model=model, tokenizer=tokenizer, device="cpu", dtype="fp32")


def scorer(kind: str, head: str, *, token_budget: int | None = None, max_tokens: int = MAX_TOKENS) -> HFScorer:
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
