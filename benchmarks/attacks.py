"""The pooled engine against TextAttack's own Attacker: same victim, candidates, constraints, texts and queries.

TextFooler (Jin et al. 2020) with and without its sentence encoder, on the published attack samples of MR (about 20
words), AG News (45) and IMDB (cut to 250), against a fine-tuned MiniLM and a small random BERT where Python costs most;
on a GPU against an untrained BERT-base.
The labels are what the victim says, so that every text is attacked; examples that end otherwise than by TextAttack are
counted.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

from benchmarks.attack_sides import VICTIM, Asked, Run, floor, loaded_from, ours, peer_encoder, same, textattacks
from benchmarks.data import data_file
from benchmarks.report import Cell, write
from harness.api.case import Case, make_cases
from harness.api.scorer import TextRequest
from harness.checkpoint import LoadedCheckpoint
from harness.scorer.hf import HFScorer
from suites.adversarial.pooled.make import Setup
from suites.adversarial.recipes import RECIPES
from suites.adversarial.recipes.parts import Goal, Parts, sentence_encoder, word_vectors
from suites.adversarial.resources.finding import find
from suites.words import first_words

PEERS = ("textattack",)
MOST_WORDS = 250


@dataclass(frozen=True, slots=True)
class Size:
    """Texts per setting: for ours, the fair peer and the floor; and for the stock peer, which is many times slower."""

    texts: int
    stock: int


ON_CPU = {
    ("small random BERT", "mr", False): Size(40, 8),
    ("small random BERT", "mr", True): Size(16, 8),
    ("small random BERT", "ag", False): Size(6, 2),
    ("MiniLM", "mr", False): Size(24, 8),
    ("MiniLM", "mr", True): Size(60, 12),
    ("MiniLM", "ag", False): Size(12, 2),
    ("MiniLM", "imdb", False): Size(1, 1),
}
"""By victim, texts, and whether the sentence encoder is among the constraints."""
ON_GPU = {
    ("random BERT-base", "mr", False): Size(256, 32),
    ("random BERT-base", "mr", True): Size(128, 16),
    ("random BERT-base", "ag", False): Size(64, 8),
}
SHAPES = {
    "small random BERT": {
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 512,
    },
    "random BERT-base": {},
}
"""Untrained victims, where they differ from BERT-base."""
BUDGET = 200
"""Most queries of one text."""
READS = 512
"""Tokens the victims read, as BERT does: what TextAttack pads to."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Ratios aimed at: queries per second over stock's by texts, over the fair peer's, and seconds over the floor's."""

    stock: int | None
    fair: float
    floor: float | None


def run() -> list[Cell]:
    """Ratios of each victim, dataset and constraint."""
    cells: list[Cell] = []
    settings = ON_GPU if torch.cuda.is_available() else ON_CPU
    for (under_attack, name, encoder), size in settings.items():
        targets = _targets(under_attack, name, encoder)
        for cell in _compare(f"{under_attack}, {name}", victim(under_attack), name, size, encoder, targets):
            cells.append(cell)
            write("attacks", cells, peers=PEERS)  # what is done stays when a later one is stopped
    return cells


def _targets(under_attack: str, name: str, encoder: bool) -> Targets:
    if torch.cuda.is_available():
        return Targets(20, 4, None)
    small = under_attack in SHAPES
    stock = {"mr": 15, "ag": 7}.get(name)
    return Targets(stock, 1.8 if small or encoder else 1.0, None if small else 1.15)


def without_encoder(parts: Parts, goal: Goal) -> Any:
    """TextFooler without the constraint on sentence similarity."""
    attack = RECIPES["textfooler"].build(parts, goal)
    encoders = parts.textattack.constraints.semantics.sentence_encoders.SentenceEncoder
    attack.constraints = [one for one in attack.constraints if not isinstance(one, encoders)]
    return attack


def _compare(
    case: str, loaded: LoadedCheckpoint, name: str, size: Size, encoder: bool, targets: Targets
) -> Iterator[Cell]:
    build = RECIPES["textfooler"].build if encoder else without_encoder
    setup = Setup(build, Goal(), loaded.info, BUDGET)
    cases = _cases(loaded, name, size.texts)
    _look_up_neighbours(cases)
    first = cases[: size.stock]
    case = f"{case}, {'with' if encoder else 'without'} encoder"
    mine, asked = ours(setup, loaded, sentence_encoder, cases)
    few, _ = ours(setup, loaded, sentence_encoder, first)
    fair = textattacks(setup, loaded, peer_encoder, cases, padded=False)
    stock = textattacks(setup, loaded, peer_encoder, first, padded=True)
    differ = {"other_than_fair": same(mine, fair), "other_than_stock": same(mine, stock), "texts": len(cases)}
    yield _cell(f"{case}: against stock (queries/s)", few, stock, targets.stock, differ)
    yield _cell(f"{case}: against padding=True (queries/s)", mine, fair, targets.fair, differ)
    yield from _floors(case, loaded, asked, mine, targets.floor)
    if "random" in case and not encoder and not torch.cuda.is_available():
        helped, _ = ours(setup, loaded, sentence_encoder, cases, workers=1)
        yield _cell(
            f"{case}: with a worker process, against padding=True (queries/s)", helped, fair, targets.fair, differ
        )


def _floors(case: str, loaded: LoadedCheckpoint, asked: Asked, mine: Run, target: float | None) -> Iterator[Cell]:
    """Our seconds over those of the bare models."""
    bare = floor(loaded, asked.victim)
    used = {"victim": round(bare, 2), "distinct_queries": len(set(asked.victim))}
    if asked.encoder:
        encoder = floor(loaded_from(find("sentence-encoder").path), asked.encoder)
        used |= {"encoder": round(encoder, 2), "distinct_windows": len(set(asked.encoder))}
        bare += encoder
        case = f"{case}: seconds over the bare victim's and encoder's on the same texts"
    else:
        case = f"{case}: seconds over the bare victim's on the same queries"
    yield Cell(case, mine.seconds, bare, target, lower_is_better=True, extra={"unit": "s", "bare": used})


def _cell(case: str, mine: Run, peer: Run, target: float | None, extra: dict[str, Any]) -> Cell:
    explained = {
        side: {
            "seconds": {name: round(seconds, 2) for name, seconds in run.stages.items()},
            "rows_per_call": round(run.rows_per_call, 1),
            "padding": round(run.padding, 3),
        }
        for side, run in (("ours", mine), ("peer", peer))
    }
    queries = {"queries": mine.queries, "unit": "queries/s"}
    return Cell(
        case,
        mine.queries / mine.seconds,
        peer.queries / peer.seconds,
        target,
        extra={**queries, **extra, "stages": explained},
    )


def _cases(loaded: LoadedCheckpoint, name: str, count: int) -> list[Case]:
    path = data_file(f"textfooler_samples/{name}.txt" + (".gz" if name == "imdb" else ""))
    content = path.read_bytes()
    lines = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8").splitlines()[:count]
    texts = [first_words(line.split(" ", 1)[1], MOST_WORDS)[0] for line in lines]
    labels = [answer.label for answer in HFScorer(loaded).ask([TextRequest(text) for text in texts])]
    pairs = zip(texts, labels, strict=True)
    return make_cases({"text": text, "label": label, "words_cut": 0} for text, label in pairs)


def _look_up_neighbours(cases: Sequence[Case]) -> None:
    """For both sides alike: TextAttack's own vectors come with a table of them."""
    vectors = word_vectors(find("word-vectors"))
    for word in {word.lower() for case in cases for word in re.findall(r"[\w'-]+", case.data["text"])}:
        vectors.neighbours(word, 50)


@cache
def victim(name: str) -> LoadedCheckpoint:
    """The checkpoint under attack, once per process."""
    real = loaded_from(VICTIM)
    real.tokenizer.model_max_length = READS
    real = replace(real, info=replace(real.info, max_tokens=READS))
    return real if name not in SHAPES else replace(real, model=_untrained(real, **SHAPES[name]))


def _untrained(like: LoadedCheckpoint, **shape: int) -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(vocab_size=like.model.config.vocab_size, **shape)
    return BertForSequenceClassification(config).eval().to(like.device)
