"""What attacks need, made up: texts, a tagger, word vectors, a sentence encoder, a victim."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

from suites.adversarial.recipes.parts import textattack_embedding
from suites.adversarial.resources.textattack_env import load_textattack
from suites.adversarial.resources.vectors import WordVectors

SENTENCES = tuple(
    line.strip()
    for line in """
The film isn't bad, but it's hardly a masterpiece.
a well-made, state-of-the-art thriller -- with heart!
"Gorgeous," she said; "simply gorgeous."
I saw her duck near the bank in 1999, didn't I?
GREAT GREAT GREAT movie, great cast, GREAT music
very very good, very good, very bad
Why can't they make films like this anymore???
The the THE the
It's 100% fun (and only 90 minutes long).
naïve café-goers will love Amélie’s façade
Ein schöner Film: überraschend, traurig, süß
rock'n'roll isn't noise pollution
e-mail me @ film_fan*2020
Good
one two
A man walks. A dog runs. A cat sleeps.
no movement, no yuks, not much of anything .
the plot is paper-thin but the acting's top-notch
Mr. Smith goes to Washington, D.C., by train
a funny, fast, furious, flawed, and frequently fantastic film
what's not to like
he said that that that he used was wrong
you'll laugh you'll cry you'll kiss $10 goodbye
'quoted words' and ''double quoted'' words
so-so story - so-so acting - awful dialogue
I LOVED it!!! My kids hated it...
an ALL-STAR cast can't save this B-movie
the 2nd half drags; the 1st doesn't
bland/dull/boring stuff
Best. Movie. Ever.
it was the best of times, it was the worst of times
films films films about films
sad happy angry boring fun sad happy
the director's cut of the directors' cut
plain text without any marks in it at all
Über-cool, hyper-real, anti-climactic
the film is so very long that one forgets, by the time it ends, how it began or why it was made at all
It's a good film, and a good cast, and good music; yet the story - good as it is - isn't one I'd want to see again
""".strip().splitlines()
)
PENN = ("CD", "DT", "IN", "JJ", "NN", "NNP", "NNS", "PRP", "RB", "VB", "VBD", "VBZ")


def attacked(texts: Iterable[str] = SENTENCES) -> list[Any]:
    return [load_textattack().shared.AttackedText(text) for text in texts]


@cache
def vocabulary() -> tuple[str, ...]:
    """The words of the sentences as they are and in lower case, and inventions."""
    words = [word for text in attacked() for word in text.words]
    return tuple(dict.fromkeys([*words, *(word.lower() for word in words), *(f"x{at}" for at in range(40))]))


class MadeUpWeights(dict[str, dict[str, float]]):
    """Weights for two features of three, drawn from the feature's name; few values, so that scores tie."""

    def __contains__(self, feature: object) -> bool:
        return zlib.crc32(str(feature).encode()) % 3 > 0

    def __missing__(self, feature: str) -> dict[str, float]:
        chance = random.Random(feature)
        return {tag: chance.choice((-0.2, -0.1, 0.1, 0.3, 0.7)) for tag in chance.sample(PENN, 7)}

    def get(self, feature: str, default: Any = None) -> Any:
        known = feature in self
        return self[feature] if known else default


def made_up_tagger() -> Any:
    """An nltk tagger with made-up weights that knows the tags of a few words."""
    from nltk.tag.perceptron import PerceptronTagger

    tagger = PerceptronTagger(load=False)
    tagger.tagdict = {"the": "DT", "a": "DT", "film": "NN", "very": "RB", "x7": "JJ"}
    tagger.classes = tagger.model.classes = set(PENN)
    tagger.model.weights = MadeUpWeights()
    return tagger


@cache
def embedding() -> Any:
    """TextAttack's WordEmbedding over most of the vocabulary, with cosines all over the range."""
    generator = np.random.default_rng(0)
    words = [word for at, word in enumerate(dict.fromkeys(word.lower() for word in vocabulary())) if at % 7]
    centres = generator.normal(size=(6, 8))
    matrix = centres[generator.integers(6, size=len(words))] + 0.7 * generator.normal(size=(len(words), 8))
    return textattack_embedding(WordVectors(words, matrix), k=20)


def encode(texts: Sequence[str]) -> torch.Tensor:
    """Vectors (texts, 12) from a text's words, their order and the text itself."""
    return torch.from_numpy(np.stack([_vector(text) for text in texts]).astype(np.float32))


@cache
def _vector(text: str) -> Any:
    parts = [(word, 1.0 + at % 3) for at, word in enumerate(text.lower().split())]
    return sum(weight * _noise(word) for word, weight in parts) + 0.2 * _noise(text)


@cache
def _noise(text: str) -> Any:
    return np.random.default_rng(zlib.crc32(text.encode())).normal(size=12) + 0.3


def encoder(**settings: Any) -> Any:
    """A SentenceEncoder by `encode`; its `asked` holds the texts of each call."""
    load_textattack()
    from textattack.constraints.semantics.sentence_encoders import SentenceEncoder

    class Encoder(SentenceEncoder):  # type: ignore[misc]  # textattack has no types
        def __init__(self) -> None:
            super().__init__(**settings)
            self.asked: list[list[str]] = []

        def encode(self, sentences: list[str]) -> torch.Tensor:
            self.asked.append(list(sentences))
            return encode(sentences)

    return Encoder()


def swaps(text: Any, count: int, seed: int = 0) -> list[Any]:
    """Candidates with one word of `text` replaced, as a word swap marks them."""
    textattack = load_textattack()
    chance = random.Random(f"{seed} {text.text}")
    swap = textattack.transformations.WordSwapQWERTY()
    found = []
    for _ in range(count):
        index = chance.randrange(len(text.words))
        new = text.replace_word_at_index(index, chance.choice((*vocabulary(), *text.words)))
        if new.text != text.text:
            new.attack_attrs["last_transformation"] = swap
            found.append(new)
    return found


def survivors(constraint: Any, candidates: Sequence[Any], reference: Any) -> list[tuple[str, Any]]:
    """Texts that the constraint lets, in order, with their similarity."""
    kept = constraint.call_many(list(candidates), reference)
    return [(text.text, text.attack_attrs.get("similarity_score")) for text in kept]


def victim(flips: float = 1.5) -> Any:
    """A ModelWrapper whose label hangs on the sum of its words' made-up weights: positive at first."""
    textattack = load_textattack()

    class Victim(textattack.models.wrappers.ModelWrapper):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self.model = self

        def __call__(self, texts: Sequence[str]) -> torch.Tensor:
            sums = [flips + sum(zlib.crc32(word.encode()) / 2**31 - 1 for word in text.split()) for text in texts]
            return torch.tensor([[0.0, total] for total in sums])

    return Victim()
