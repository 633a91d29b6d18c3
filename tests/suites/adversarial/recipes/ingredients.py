"""Made-up resources, small enough for tests, and victims over a tiny classifier."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch

from harness.api.scorer import TextRequest
from harness.scorer.hf import HFScorer
from suites.adversarial.recipes import RECIPES, Parts
from suites.adversarial.resources.textattack_env import StopWords, load_textattack
from suites.adversarial.victims.classifier import Victim
from suites.adversarial.victims.gradients import GradientVictim
from tests.scoring import load
from tests.tiny import make_checkpoint

STOP_WORDS = StopWords("the test", ("the", "a", "was", "and", "it", "i", "of"))
SENTENCES = ("the film was good and the story great", "i hated the boring plot of the movie", "a sad film")
NEIGHBOURS = (
    "good great nice happy fun",
    "film movie story plot book",
    "bad awful boring sad",
    "loved liked love like",
)
"""Words whose vectors lie close."""
SYNONYMS = {"a": ("good great fine", "bad awful", "boring dull slow_moving"), "n": ("film movie", "plot story")}
_TAGDICT = {"good": "JJ", "great": "JJ", "nice": "JJ", "happy": "JJ", "fun": "NN", "bad": "JJ", "awful": "JJ"}
_POS = {"adj": "a", "adv": "r", "noun": "n", "verb": "v"}
_HEADER = "  1 This is not WordNet 3.0 Copyright 2006 but a test.  \n"


@cache
def resources() -> dict[str, Path]:
    """A path for every resource."""
    home = Path(mkdtemp())
    return {
        "word-vectors": _vectors(home / "word-vectors.txt"),
        "pos-tagger": _tagger(home / "averaged_perceptron_tagger_eng"),
        "wordnet": _wordnet(home / "wordnet"),
        "sentence-encoder": make_checkpoint(home / "sentence-encoder", "bert", "base", seed=1),
        "masked-lm": make_checkpoint(home / "masked-lm", "bert", "masked_lm", seed=2),
        "masked-lm-clare": make_checkpoint(home / "masked-lm-clare", "bert", "masked_lm", seed=3),
    }


@cache
def scorer() -> HFScorer:
    """A tiny random classifier that finds every sentence positive, some only just."""
    loaded = load("bert", "classifier")
    found = HFScorer(loaded)
    logits = np.stack([answer.logits for answer in found.ask([TextRequest(text) for text in SENTENCES])])
    with torch.no_grad():
        loaded.model.classifier.bias += torch.tensor([0.9 * float((logits[:, 1] - logits[:, 0]).min()), 0.0])
    return found


@cache
def victim(name: str = "deepwordbug") -> Any:
    """A victim that gives what the recipe of this name asks for."""
    made: Any = Victim(scorer()) if RECIPES[name].black_box else GradientVictim(scorer())
    made.max_length = 128  # which TextAttack's own A2T looks up
    return made


@cache
def parts(name: str = "deepwordbug") -> Parts:
    """Parts for the recipe of this name; the heavy ones are the same for all."""
    made = Parts(textattack=load_textattack(), victim=victim(name), stop_words=STOP_WORDS, paths=dict(resources()))
    if name != "deepwordbug":
        made._made = parts()._made
    return made


def label(text: str) -> int:
    """The class the tiny classifier gives."""
    return int(scorer().ask([TextRequest(text)])[0].logits.argmax())


def _vectors(path: Path) -> Path:
    draw = np.random.default_rng(0)
    lines = [". 1 0 0 0 0 0 0 0", "1990 0 1 0 0 0 0 0 0", "'s 0 0 1 0 0 0 0 0"]  # of which no swap may be made
    for group in NEIGHBOURS:
        middle = draw.normal(size=8)
        for word in group.split():
            vector = middle + 0.2 * draw.normal(size=8)
            lines.append(f"{word} {' '.join(f'{value:.5f}' for value in vector)}")
    path.write_text("\n".join(lines) + "\n")
    return path


def _tagger(folder: Path) -> Path:
    folder.mkdir()
    weights = {"bias": {"NN": 0.1}, "i suffix ed": {"VBD": 1.0}, "i-1 word the": {"NN": 0.5}, "i-1 tag JJ": {"NN": 0.3}}
    found = {"weights": weights, "tagdict": _TAGDICT, "classes": ["JJ", "NN", "VBD"]}
    for name, value in found.items():
        (folder / f"averaged_perceptron_tagger_eng.{name}.json").write_text(json.dumps(value))
    return folder


def _wordnet(folder: Path) -> Path:
    folder.mkdir()
    for name, pos in _POS.items():
        data, index = _HEADER, {}
        for words in SYNONYMS.get(pos, ()):
            names = words.split()
            at = len(data)
            data += f"{at:08d} 00 {pos} {len(names):02x} {' '.join(f'{word} 0' for word in names)} 000 | made up  \n"
            index.update({word: f"{word} {pos} 1 0 1 0 {at:08d}  \n" for word in names})
        (folder / f"data.{name}").write_text(data)
        (folder / f"index.{name}").write_text(_HEADER + "".join(index[word] for word in sorted(index)))
    return folder
