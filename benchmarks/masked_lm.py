"""A masked language model for attacks where no hub is in reach: a sentence encoder goes on training on real text.

`python -m benchmarks.masked_lm`, or by `attack_parity` where none lies in its folder: about 15 minutes on one core. The
MiniLM encoder gets a masked-LM head (`assay train` draws it, its output matrix is the word embeddings) and all of it is
trained on movie reviews, news, fiction and encyclopaedia. It predicts words in context, far worse than BERT does; an
attack needs no more to be compared with TextAttack's. The sentences under attack are left out of the training.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.data import SCRATCH, data_file
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from privacy.training import TrainSpec, train
from privacy.training.models.objective import masked_lm
from suites.adversarial.resources.catalogue import RESOURCES

FOLDER = SCRATCH / "resources"
NAMES = ("masked-lm", "masked-lm-clare")
"""Resources it serves as."""
RECORDS = 9_000
REVIEWS = 0.7
"""Share of them that are movie-review sentences, the kind that is attacked."""
HELD_OUT = 500
TOKENS = 64
"""Most tokens of a record, and of a text that the model is asked about afterwards."""
WORDS = 42
"""Most words of a record: they make about 64 tokens at most."""
_FEWEST = 6
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\s*\n\s*|<br />")


def ensure() -> None:
    """Train it unless it is there. Raises UsageError without the folder of real data."""
    present = [name for name in NAMES if (FOLDER / name).exists()]
    if not present:
        _make(FOLDER / NAMES[0])
    made = FOLDER / (*present, NAMES[0])[0]
    for name in NAMES:
        if not (FOLDER / name).exists():
            shutil.copytree(made, FOLDER / name)


def _make(folder: Path) -> None:
    print(f"training a masked language model into {folder}: about 15 minutes on one core, once", flush=True)  # noqa: T201
    result = train(spec(folder), progress=_tell)
    print(result.sentence, flush=True)  # noqa: T201
    _limit(folder)
    loaded = load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(folder))), dtype="fp32")
    found = predicts(loaded.model, loaded.tokenizer, records()[1])
    print("held out: " + ", ".join(f"{name} {number:.3f}" for name, number in found.items()), flush=True)  # noqa: T201


def spec(output: Path) -> TrainSpec:
    """What is trained, on what; writes the files of records."""
    train_on, held_out = records()
    place = next(place for place in RESOURCES["sentence-encoder"].places if place.kind == "pypi")
    values = {
        "base": place.where,
        "task": "masked_lm",
        "data": str(_written("masked-lm-train", train_on)),
        "held_out": str(_written("masked-lm-held-out", held_out)),
        "epochs": 1,
        "batch_size": 16,
        "learning_rate": 5e-4,
        "warmup_ratio": 0.06,
        "max_tokens": TOKENS,
        "device": "cpu",
        "output": output,
    }
    return TrainSpec.model_validate(values)


def records(count: int = RECORDS, held_out: int = HELD_OUT) -> tuple[list[str], list[str]]:
    """Texts to train on and movie-review sentences that are kept back; none of them is attacked in `attack_parity`."""
    attacked = {letters(line.split(" ", 1)[1]) for line in _lines("textfooler_samples/mr.txt")}
    rng = random.Random(0)
    reviews = [text for text in distinct(_movie_sentences()) if letters(text) not in attacked]
    rng.shuffle(reviews)
    others = [text for text in distinct(_pieces()) if letters(text) not in attacked]
    rng.shuffle(others)
    sentences = reviews[held_out:][: round(REVIEWS * count)]
    chosen = sentences + others[: count - len(sentences)]
    rng.shuffle(chosen)
    return chosen, reviews[:held_out]


def letters(text: str) -> str:
    """A text without spaces, case and punctuation: releases of the same sentence differ in these."""
    return re.sub(r"\W", "", text.lower())


def distinct(texts: Iterable[str]) -> list[str]:
    """The first of all texts of the same letters."""
    return list({letters(text): text for text in reversed(list(texts))}.values())


def pieces(document: str, most: int = WORDS) -> Iterator[str]:
    """Consecutive sentences of a document, as many as make `most` words; a longer sentence is left out."""
    piece: list[str] = []
    for sentence in _SENTENCE.split(document):
        words = sentence.split()
        if len(piece) + len(words) > most:
            if len(piece) >= _FEWEST:
                yield " ".join(piece)
            piece = []
        if len(words) <= most:
            piece += words
    if len(piece) >= _FEWEST:
        yield " ".join(piece)


def predicts(model: Any, tokenizer: Any, texts: Sequence[str]) -> dict[str, float]:
    """How well masked tokens are predicted: nats per token, shares where the right one is first and in the first ten.

    15 % of each text's tokens are asked for, nine of ten behind the mask or another token, drawn from a fixed seed.
    """
    mask = masked_lm(tokenizer, 0.15, seed=1).add_labels
    losses: list[float] = []
    ranks: list[int] = []
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=TOKENS)["input_ids"]
        asked = mask({"input_ids": ids})
        targets = torch.tensor(asked["targets"])
        places = targets >= 0
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([asked["input_ids"]])).logits[0, places]
        right = logits.gather(1, targets[places, None])
        losses += (logits.logsumexp(1) - right[:, 0]).tolist()
        ranks += (logits > right).sum(1).tolist()
    first, ten = np.mean(np.asarray(ranks) == 0), np.mean(np.asarray(ranks) < 10)
    return {"nats": float(np.mean(losses)), "top-1": float(first), "top-10": float(ten)}


def _movie_sentences() -> Iterator[str]:
    for sign in ("neg", "pos"):
        for line in _lines(f"movie_reviews_mr/rt-polarity.{sign}.gz", "cp1252"):
            if len(line.split()) >= _FEWEST:
                yield line.strip()


def _pieces() -> Iterator[str]:
    for name in ("imdb_subset/imdb_train_6k", "lm_corpora/brown", "lm_corpora/abc"):
        for line in _lines(f"{name}.jsonl.gz"):
            yield from pieces(json.loads(line)["text"])
    for line in _lines("wikitext2/valid.txt.gz"):
        if "<unk>" not in line:
            yield from pieces(line)


def _lines(name: str, encoding: str = "utf-8") -> list[str]:
    path = data_file(name)
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode(encoding).rstrip("\n").split("\n")


def _written(name: str, texts: Sequence[str]) -> Path:
    path = SCRATCH / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def _limit(folder: Path) -> None:
    """The model has seen no longer texts, so none are given to it: padding to 512 tokens would be for nothing."""
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**settings, "model_max_length": TOKENS}, indent=2) + "\n", encoding="utf-8")


def _tell(step: int, steps: int, loss: float) -> None:
    if step % 50 == 0:
        print(f"step {step} of {steps}: {loss:.3f} nats per masked token", flush=True)  # noqa: T201


if __name__ == "__main__":
    ensure()
