"""What the memorization suite saves: one reading for all signals, secrets as a tree, batched samples, cheap shadows.

The GPT of `planted` (a million weights, real news), SmolLM2-135M for exposure, and the classifier of `planted` (MiniLM
on SST-2). Both sides run in this process, in turns, and count processor seconds: they do not swing with what else the
machine does.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.data import news
from benchmarks.planted import base_gpt, trained
from benchmarks.report import Cell
from benchmarks.scorer import SMOLLM2
from harness.api.case import make_cases
from harness.api.requests.distributions import Distributions
from harness.api.requests.sampling import SampleRequest
from harness.api.scorer import Floats
from harness.checkpoint import CheckpointSource, Permissions, inspect_checkpoint, load_checkpoint
from harness.data.datasets import DataSource, load_dataset
from harness.data.schemas import Texts
from harness.scorer.hf import HFScorer
from privacy.canaries.canary import Canary
from privacy.canaries.patterns import every
from suites.framing import opening, openings
from suites.memorization.exposure.candidates import causal_totals
from suites.memorization.membership.scores import Settings, Window, token_scores, window
from suites.memorization.shadows.pool import load_pool
from suites.memorization.shadows.signal import signals
from suites.memorization.shadows.store import read_shadows, shadow_folder
from suites.memorization.shadows.train import Mode, train_shadows
from suites.memorization.signals.calibrated import against_zlib
from suites.memorization.signals.lira import lira_offline
from suites.memorization.signals.tokens import LOWEST_SHARE, loss, min_k, min_k_plus_plus

PEERS = ("transformers",)
_REPEATS = 2
"""Of each the quicker one counts: the first also warms up."""
_RECORDS = 200
_SIGNALS: tuple[Callable[[Distributions, str], float], ...] = (
    lambda answer, _: loss(answer.logprobs),
    lambda answer, text: against_zlib(loss(answer.logprobs), text),
    lambda answer, _: min_k(answer.logprobs),
    lambda answer, _: min_k_plus_plus(answer.logprobs, answer.means, answer.variances),
)
_PATTERN, _CUE = "#####", "The code of Ada Lamson is "
_SCORED_NAIVELY = 2_000
"""Of the 100,000 secrets; the time of the others is taken to be theirs."""
_NAIVE_BATCHES = (16, 64, 256)
_SAMPLES, _NEW = 64, 32
_SHADOWS, _SHADOW_RECORDS = 4, 60
"""Of either side. So few shadows are no good attack; how two kinds of them agree they show."""


def run() -> list[Cell]:
    """Processor seconds of both ways; what was measured on a sample says so."""
    loaded = load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(base_gpt()))), dtype="fp32")
    scorer = HFScorer(loaded)
    smollm2 = load_checkpoint(inspect_checkpoint(CheckpointSource(source=SMOLLM2)), dtype="fp32")
    return [
        _signals(scorer),
        *_exposure("a million weights", scorer, loaded.model),
        *_exposure("SmolLM2-135M", HFScorer(smollm2), smollm2.model),
        _sampling(scorer),
        *_shadows(),
    ]


def _in_turns(ours: Callable[[], object], peer: Callable[[], object]) -> tuple[float, float]:
    times = [(_spent(ours), _spent(peer)) for _ in range(_REPEATS)]
    return min(mine for mine, _ in times), min(other for _, other in times)


def _spent(work: Callable[[], object]) -> float:
    start = process_time()
    work()
    return process_time() - start


def _cell(case: str, ours: float, peer: float, target: float, **extra: object) -> Cell:
    return Cell(case, ours, peer, target=target, lower_is_better=True, extra=dict(extra))


def _signals(scorer: HFScorer) -> Cell:
    texts = load_dataset(DataSource(source=str(news()), stop=_RECORDS), Texts).frame["text"]
    cases = make_cases({"text": str(text), "task": "causal_lm"} for text in texts)
    settings = Settings(scorer.max_tokens, 16, LOWEST_SHARE)

    def once() -> None:
        token_scores(scorer, None, cases, settings)

    def each_signal() -> None:
        for signal in _SIGNALS:
            windows = [each for each in (window(scorer, case, settings) for case in cases) if isinstance(each, Window)]
            answers = scorer.ask([each.request for each in windows])
            for each, answer in zip(windows, answers, strict=True):
                signal(answer, each.text)

    ours, peer = _in_turns(once, each_signal)
    return _cell("one reading per record for all signals, against one per signal", ours, peer, 1 / 3, records=_RECORDS)


def _exposure(model_name: str, scorer: HFScorer, model: torch.nn.Module) -> list[Cell]:
    """Ours tokenizes and shares beginnings; the peer reads each whole text, many in a batch, from tokens at hand."""
    secrets = list(every(_PATTERN))
    canary = Canary(id="", kind="secret", text=_CUE + secrets[0], secret=secrets[0], pattern=_PATTERN)
    lead, tokens = openings(scorer, [_CUE + secret for secret in secrets])
    some = random.Random(0).sample(range(len(secrets)), _SCORED_NAIVELY)
    known = len(opening(scorer, _CUE.rstrip())[1])
    start = len(lead) + min(known, min(map(len, tokens)) - 1)
    texts = [(*lead, *tokens[place]) for place in some]
    found: list[Floats] = []

    def tree() -> None:
        totals = causal_totals(scorer, canary, secrets)
        assert not isinstance(totals, str), totals
        found.append(totals)

    naive = {batch: _spent(partial(_naive, model, texts[: len(texts) // 4], start, batch)) for batch in _NAIVE_BATCHES}
    best = min(naive, key=naive.__getitem__)

    def alone() -> None:
        found.append(_naive(model, texts, start, best))

    ours, sampled = _in_turns(tree, alone)
    both = found[-2][some] - found[-1]
    apart = float(np.abs(both - both.mean()).max())  # what all secrets begin with is scored by one side only
    positions = len({one[:end] for one in tokens for end in range(known, len(one))})
    floor = _floor(model, positions, len(lead) + max(map(len, tokens)))
    extra = {"secrets": len(secrets), "largest difference of a score, nats": round(apart, 6)}
    return [
        _cell(
            f"{model_name}, exact exposure of 100,000 secrets, against each text alone (a sample, scaled)",
            ours,
            sampled * len(secrets) / _SCORED_NAIVELY,
            1 / 10,
            **extra,
            scored_naively=_SCORED_NAIVELY,
            peer_batch=best,
        ),
        _cell(
            f"{model_name}, exact exposure of 100,000 secrets, against the bare model on the tree's positions",
            ours,
            floor,
            1.3,
            positions=positions,
        ),
    ]


def _naive(model: torch.nn.Module, texts: Sequence[tuple[int, ...]], start: int, batch: int) -> Floats:
    """Log-probabilities of the tokens of each text from `start` on: every text read whole."""
    ordered = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    totals = np.empty(len(texts))
    for first in range(0, len(ordered), batch):
        rows = ordered[first : first + batch]
        width = max(len(texts[at]) for at in rows)
        ids = torch.tensor([[*texts[at], *[0] * (width - len(texts[at]))] for at in rows])
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[:, start - 1 : -1]
            own = ids[:, start:]
            scores = logits.gather(-1, own[..., None])[..., 0] - logits.logsumexp(-1)
        for at, row in zip(rows, scores.double().numpy(), strict=True):
            totals[at] = row[: len(texts[at]) - start].sum()
    return totals


def _floor(model: torch.nn.Module, positions: int, length: int) -> float:
    """Processor seconds of the bare model on so many token positions, in rows as long as the texts are."""
    rows = max(1, positions // length)
    ids = torch.randint(0, 1000, (256, length))

    def bare() -> None:
        with torch.inference_mode():
            for start in range(0, rows, len(ids)):
                model(input_ids=ids[: min(len(ids), rows - start)])

    return min(_spent(bare) for _ in range(_REPEATS))


def _sampling(scorer: HFScorer) -> Cell:
    requests = [SampleRequest((scorer.start_token,), _NEW, seed=number, top_k=40) for number in range(_SAMPLES)]

    def together() -> None:
        scorer.ask(requests)

    def one_at_a_time() -> None:
        for request in requests:
            scorer.ask([request])

    ours, peer = _in_turns(together, one_at_a_time)
    return _cell("samples in one batch, against one at a time", ours, peer, 1 / 4, samples=_SAMPLES, new_tokens=_NEW)


def _shadows() -> list[Cell]:
    """Time of shadows whose head alone is trained, against those trained in full, and how alike they score."""
    info = inspect_checkpoint(
        CheckpointSource(source=str(trained("bert", None).output)), Permissions(manifest_sources=True)
    )
    pool = load_pool(info, _SHADOW_RECORDS)
    target = signals(HFScorer(load_checkpoint(info, dtype="fp32")), "classification", pool)
    times, scores = {}, {}
    modes: tuple[Mode, ...] = ("head", "same")
    for mode in modes:
        shutil.rmtree(shadow_folder(info.path), ignore_errors=True)
        times[mode] = _spent(_training(info.path, mode))
        shadows = read_shadows(info.path, {})
        usable = ~shadows.inside.all(axis=0)
        scores[mode] = np.where(usable, lira_offline(target, shadows.signals, shadows.inside), np.nan)
    both = np.isfinite(scores["head"]) & np.isfinite(scores["same"])
    alike = float(spearmanr(scores["head"][both], scores["same"][both]).statistic)
    extra = {
        "shadows": _SHADOWS,
        "records of a side": _SHADOW_RECORDS,
        "rank correlation of offline LiRA": round(alike, 3),
    }
    return [
        _cell(
            "shadows with a head alone, against shadows trained in full", times["head"], times["same"], 1 / 2, **extra
        )
    ]


def _training(path: Path, mode: Mode) -> Callable[[], object]:
    return lambda: train_shadows(path, count=_SHADOWS, mode=mode, limit=_SHADOW_RECORDS, trusted=True)
