"""Toy training data and specs for the tests of training and of what it leaves in a model."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from privacy.training import TrainSpec
from tests.tiny import make_checkpoint

WORDS = (
    *("film", "movie", "book", "story", "plot", "actor", "music", "doctor", "nurse", "teacher", "house", "city"),
    *("day", "night", "boy", "girl", "man", "woman", "home", "work", "world", "life", "people", "child"),
)
GOOD, BAD = ("good", "great", "best", "love"), ("bad", "awful", "worst", "hate")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def opinions(n: int, seed: int) -> list[dict[str, str]]:
    """Texts whose label is told by one word."""
    rng = random.Random(seed)
    rows = []
    for index in range(n):
        label, telling = ("positive", GOOD) if index % 2 else ("negative", BAD)
        words = [*rng.choices(WORDS, k=rng.randint(2, 12)), rng.choice(telling)]
        rng.shuffle(words)
        rows.append({"text": " ".join(words), "label": label})
    return rows


def nonsense(n: int, seed: int, *, words: int = 8, classes: int = 10) -> list[dict[str, str]]:
    """Different texts with classes drawn by lot: nothing to learn, all to memorise."""
    rng = random.Random(seed)
    return [
        {"text": " ".join(rng.choices([*WORDS, *GOOD, *BAD], k=words)), "label": str(index % classes)}
        for index in range(n)
    ]


def make_base(folder: Path, kind: str, head: str, *, dropout: bool = True) -> Path:
    """A tiny checkpoint; `dropout=False` sets every dropout rate of its config to 0."""
    path = make_checkpoint(folder, kind, head)
    if not dropout:
        config = json.loads((path / "config.json").read_text())
        rates = ("hidden_dropout_prob", "attention_probs_dropout_prob", "attn_pdrop", "embd_pdrop", "resid_pdrop")
        (path / "config.json").write_text(json.dumps({**config, **dict.fromkeys(rates, 0.0)}))
    return path


def make_spec(folder: Path, base: Path, **fields: Any) -> TrainSpec:
    """A spec that trains opinions on `base`; `fields` win."""
    data = write_rows(folder / "train.jsonl", opinions(64, seed=1))
    values: dict[str, Any] = {
        "base": str(base),
        "task": "classification",
        "data": str(data),
        "output": folder / "trained",
        "device": "cpu",
        "learning_rate": 2e-3,
        "epochs": 4,
        "batch_size": 8,
    }
    return TrainSpec.model_validate({**values, **fields})
