"""The pooled engine against TextAttack's own Attacker: same victim, candidates, constraints, texts and queries.

TextFooler (Jin et al. 2020) with and without its sentence encoder, on the published attack samples of MR (about 20
words), AG News (45) and IMDB (cut to 250), against a fine-tuned MiniLM and a small random BERT where Python costs most.
The labels are what the victim says, so that every text is attacked; examples that end otherwise than by TextAttack are
counted.
"""

from __future__ import annotations

import gzip
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.attack_sides import Run, floor, ours, peer_encoder, same, textattacks
from benchmarks.data import data_file
from benchmarks.report import Cell, write
from harness.case import Case, make_cases
from harness.checkpoint import CheckpointSource, LoadedCheckpoint, inspect_checkpoint, load_checkpoint
from harness.scorer.api import TextRequest
from harness.scorer.hf import HFScorer
from suites.adversarial.attacks import first_words
from suites.adversarial.pooled.make import Setup
from suites.adversarial.recipes import RECIPES
from suites.adversarial.recipes.parts import Goal, Parts, sentence_encoder, word_vectors
from suites.adversarial.resources.finding import find

PEERS = ("textattack",)
VICTIM = Path("checkpoints") / "imdb-minilm"
"""The sentiment classifier that `make audit` trains."""
MOST_WORDS = 250


@dataclass(frozen=True, slots=True)
class Size:
    """Texts per setting: for ours, the fair peer and the floor; and for the stock peer, which is many times slower."""

    texts: int
    stock: int


SETTINGS = {
    ("small random BERT", "mr", False): Size(40, 3),
    ("small random BERT", "mr", True): Size(10, 2),
    ("small random BERT", "ag", False): Size(6, 1),
    ("MiniLM", "mr", False): Size(24, 4),
    ("MiniLM", "mr", True): Size(24, 3),
    ("MiniLM", "ag", False): Size(4, 1),
    ("MiniLM", "imdb", False): Size(1, 1),
}
"""By victim, texts, and whether the sentence encoder is among the constraints."""
BUDGET = 200
"""Most queries of one text."""
READS = 512
"""Tokens the victims read, as BERT does: what TextAttack pads to."""


def run() -> list[Cell]:
    """Ratios of each victim, dataset and constraint."""
    cells: list[Cell] = []
    with tempfile.TemporaryDirectory() as folder:
        victims = dict(_victims(Path(folder)))
        for (victim, name, encoder), size in SETTINGS.items():
            for cell in _compare(f"{victim}, {name}", victims[victim], name, size, encoder):
                cells.append(cell)
                write("attacks", cells, peers=PEERS)  # what is done stays when a later one is stopped
    return cells


def without_encoder(parts: Parts, goal: Goal) -> Any:
    """TextFooler without the constraint on sentence similarity."""
    attack = RECIPES["textfooler"].build(parts, goal)
    encoders = parts.textattack.constraints.semantics.sentence_encoders.SentenceEncoder
    attack.constraints = [one for one in attack.constraints if not isinstance(one, encoders)]
    return attack


def _compare(case: str, loaded: LoadedCheckpoint, name: str, size: Size, encoder: bool) -> Iterator[Cell]:
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
    yield _cell(
        f"{case}: against stock (queries/s)", few, stock, 15 if name == "mr" else 7 if name == "ag" else None, differ
    )
    small = "random" in case
    target = 1.8 if small or encoder else 1.0
    yield _cell(f"{case}: against padding=True (queries/s)", mine, fair, target, differ)
    if small:
        helped, _ = ours(setup, loaded, sentence_encoder, cases, workers=1)
        yield _cell(f"{case}: with a worker process, against padding=True (queries/s)", helped, fair, target, differ)
    model = mine.stages["classify"]
    bare = floor(loaded, asked)
    whole = mine.seconds - mine.stages.get("encoder", 0.0)
    yield Cell(
        f"{case}: seconds without encoder over the bare model's on the same queries",
        whole,
        bare,
        None if small else 1.15,
        lower_is_better=True,
        extra={"unit": "s", "victim_seconds": round(model, 2)},
    )


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
    labels = [answer.label for answer in HFScorer(loaded).classify([TextRequest(text) for text in texts])]
    pairs = zip(texts, labels, strict=True)
    return make_cases({"text": text, "label": label, "words_cut": 0} for text, label in pairs)


def _look_up_neighbours(cases: Sequence[Case]) -> None:
    """For both sides alike: TextAttack's own vectors come with a table of them."""
    vectors = word_vectors(find("word-vectors"))
    for word in {word.lower() for case in cases for word in re.findall(r"[\w'-]+", case.data["text"])}:
        vectors.neighbours(word, 50)


def _victims(folder: Path) -> Iterator[tuple[str, LoadedCheckpoint]]:
    real = load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(VICTIM))), dtype="fp32")
    real.tokenizer.model_max_length = READS
    real = replace(real, info=replace(real.info, max_tokens=READS))
    yield "MiniLM", real
    yield "small random BERT", replace(real, model=_small(real))


def _small(like: LoadedCheckpoint) -> Any:
    """Two layers of width 128, untrained."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    shape = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
    return BertForSequenceClassification(BertConfig(vocab_size=like.model.config.vocab_size, **shape)).eval()
