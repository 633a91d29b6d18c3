"""Generation by the scorer against `model.generate` of transformers at its best batch size."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch

from benchmarks import scorer_requests
from benchmarks.report import Cell
from harness.api.requests.sampling import SampleRequest
from harness.api.scorer import GenerateRequest
from harness.checkpoint import LoadedCheckpoint
from harness.errors import AssayError
from harness.scorer.generation.decoding import stop_tokens
from harness.scorer.hf import HFScorer

BATCHES = (1, 4, 16)
TOP_K = 40
AIM = 1.2


def greedy(case: str, loaded: LoadedCheckpoint, texts: int, repeats: int) -> Cell:
    """Ours against `model.generate` on prompts sorted by tokens to write and length."""
    scorer = HFScorer(loaded)
    requests = scorer_requests.generations(scorer, texts)
    scorer.ask(requests[:1])
    ends = stop_tokens(loaded.model, loaded.tokenizer)
    tokens = [answer.tokens for answer in scorer.ask(requests)]
    for batch in BATCHES:
        theirs = [_until(each, ends) for each in generated(loaded.model, requests, batch)]
        same = sum(mine == other for mine, other in zip(tokens, theirs, strict=True))
        if same < 0.9 * len(requests):  # two logits may be equal up to rounding
            raise AssayError(f"{case}: only {same} of {len(requests)} continuations are those of model.generate")
    best = min(BATCHES, key=lambda batch: seconds(lambda: generated(loaded.model, requests, batch)))
    ours, peer = _alternate([lambda: scorer.ask(requests), lambda: generated(loaded.model, requests, best)], repeats)
    written = sum(map(len, tokens))
    extra = {"requests": len(requests), "peer_batch": best, "peer_name": "model.generate", "unit": "new tokens/s"}
    return Cell(f"{case}: new tokens/s", written / ours, written / peer, target=AIM, extra=extra)


def sampled(case: str, loaded: LoadedCheckpoint, texts: int, repeats: int) -> Cell:
    """Ours against `model.generate` with sampling; each side's rate is that of the tokens it drew itself."""
    scorer = HFScorer(loaded)
    requests = scorer_requests.generations(scorer, texts)
    asked = [SampleRequest(each.prompt, each.max_new_tokens, seed=at, top_k=TOP_K) for at, each in enumerate(requests)]
    ends = stop_tokens(loaded.model, loaded.tokenizer)
    scorer.ask(asked[:1])
    torch.manual_seed(0)

    def ours() -> float:
        return _rate(lambda: [answer.samples[0].tokens for answer in scorer.ask(asked)])

    def peer(batch: int) -> float:
        return _rate(lambda: [_until(each, ends) for each in generated(loaded.model, requests, batch, sample=True)])

    best = max(BATCHES, key=peer)
    rounds = [(ours(), peer(best)) for _ in range(repeats)]
    extra = {"requests": len(requests), "peer_batch": best, "peer_name": "model.generate", "unit": "new tokens/s"}
    rates = [median(column) for column in zip(*rounds, strict=True)]
    return Cell(f"{case}: new tokens/s", rates[0], rates[1], target=AIM, extra=extra)


def _rate(draw: Callable[[], Sequence[Sequence[int]]]) -> float:
    start = seconds_now()
    drawn = draw()
    return sum(map(len, drawn)) / (seconds_now() - start)


def generated(
    model: Any, requests: Sequence[GenerateRequest], batch: int, *, sample: bool = False
) -> list[tuple[int, ...]]:
    """Continuations by transformers, left-padded, those of near sizes and lengths together."""
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
                do_sample=sample,
                top_k=TOP_K if sample else None,
                temperature=1.0 if sample else None,
                top_p=1.0 if sample else None,
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


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call, wall-clock where another device computes."""
    start = seconds_now()
    work()
    return seconds_now() - start


def seconds_now() -> float:
    """The clock that counts, see `seconds`."""
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


def _alternate(ways: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each way, in turns."""
    times = [[seconds(way) for way in ways] for _ in range(repeats)]
    return [median(column) for column in zip(*times, strict=True)]
