"""A batch for each core against all cores on one batch: the same requests on the same scorer in one process.

The peer is the scorer itself with one lane, PyTorch's usual way. Movie-review sentences: class scores and embeddings
of a fine-tuned MiniLM, of an untrained small BERT, and log-probabilities of SmolLM2-135M.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

from benchmarks.attack_parity import mr
from benchmarks.attacks import victim
from benchmarks.report import Cell
from benchmarks.scorer import SMOLLM2
from benchmarks.timing import alternate
from harness.api.scorer import EmbedRequest, TextRequest, TokenRequest
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.scorer.forward import engine
from harness.scorer.hf import HFScorer

PEERS = ("torch",)
TEXTS = 200
CAUSAL_TEXTS = 24
REPEATS = 5


def run() -> list[Cell]:
    """Texts per second of each kind of request."""
    texts = [case.data["text"] for case in mr(TEXTS)]
    cells = []
    for name in ("MiniLM", "small random BERT"):
        scorer = HFScorer(victim(name))
        requests = [TextRequest(text) for text in texts]
        cells.append(_compare(f"{name}, classify", scorer.ask, requests))
        cells.append(_compare(f"{name}, embed", scorer.ask, [EmbedRequest(text) for text in texts]))
    causal = HFScorer(load_checkpoint(inspect_checkpoint(CheckpointSource(source=SMOLLM2)), dtype="fp32"))
    tokens = [TokenRequest((causal.start_token,), causal.encode(text)) for text in texts[:CAUSAL_TEXTS]]
    cells.append(_compare("SmolLM2-135M, token_logprobs", causal.ask, tokens))
    return cells


def _compare(case: str, ask: Callable[[Sequence[Any]], object], requests: Sequence[Any]) -> Cell:
    def one_lane() -> None:
        with patch.object(engine, "lanes_for", lambda *_: 1):
            ask(requests)

    mine, theirs = alternate(lambda: ask(requests), one_lane, REPEATS)
    return Cell(f"{case} (texts/s)", len(requests) / mine, len(requests) / theirs, 1.0, extra={"unit": "texts/s"})
