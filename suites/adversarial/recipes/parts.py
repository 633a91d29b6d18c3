"""What recipes are built from: the victim, TextAttack, and the heavy resources, each loaded once when first used."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.api.needs import Need
from harness.api.scorer import EmbedRequest, Scorer
from harness.errors import UsageError
from suites.adversarial.resources.finding import Found, find
from suites.adversarial.resources.nltk_data import wordnet_reader
from suites.adversarial.resources.tagger import Tagger, read_tagger
from suites.adversarial.resources.textattack_env import load_textattack
from suites.adversarial.resources.vectors import WordVectors, read_vectors

if TYPE_CHECKING:
    from harness.checkpoint import CheckpointInfo, LoadedCheckpoint
    from suites.adversarial.resources.textattack_env import StopWords

Encode = Callable[[list[str]], NDArray[np.float32]]
"""Texts to vectors [texts, width]; a text's vector must not depend on the others."""
GIVEN = "sentence-encoder given by the caller"
_LONGEST = 512
"""Most tokens TextAttack's masked-LM transformations read."""
_WORD = re.compile(r"[a-zà-öø-ÿ]+(?:['-][a-zà-öø-ÿ]+)*", re.IGNORECASE)
"""Letters, with apostrophes and hyphens inside."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What an attack is after: any wrong class, one class, or the fewest words that keep the class."""

    kind: Literal["untargeted", "targeted", "input reduction"] = "untargeted"
    target_class: int | None = None

    def __post_init__(self) -> None:
        if (self.kind == "targeted") != (self.target_class is not None):
            raise UsageError(
                f"a goal that is {self.kind} and has target class {self.target_class}; name one or neither"
            )


UNTARGETED = Goal()
INPUT_REDUCTION = Goal("input reduction")


def targeted(target_class: int) -> Goal:
    """The goal of one predicted class, by its index."""
    return Goal("targeted", target_class)


@dataclass(frozen=True, slots=True)
class MaskedLM:
    """A masked language model, and the most tokens to give it.

    `model` is one in memory, which TextAttack can call, or a `suites.adversarial.faster.masked_lm.AskedModel`.
    """

    model: Any
    tokenizer: Any
    max_tokens: int


class Parts:
    """What recipes are built from, in one process.

    Args:
        textattack: the module, of `load_textattack`.
        victim: what TextAttack's goal functions call (`Victim`; a `GradientVictim` for recipes that are not black-box).
        stop_words: words that recipes leave alone, unless they bring their own list.
        encode: stands in for the sentence-encoder resource, which is then not loaded.
        masked_lm: stands in for the resource of the masked language model likewise.
        paths: the user's own path of a resource, by its name.

    What is loaded is shared by all recipes built from the same parts. Raises ResourceMissing where a resource is
    nowhere, UsageError where it holds something else.
    """

    def __init__(
        self,
        *,
        textattack: Any,
        victim: Any,
        stop_words: StopWords,
        encode: Callable[[Sequence[str]], Any] | None = None,
        masked_lm: Callable[[], MaskedLM] | None = None,
        paths: Mapping[str, str | Path] | None = None,
    ) -> None:
        self.textattack = textattack
        self.victim = victim
        self.stop_words = stop_words
        self._given_encode = encode
        self._given_masked_lm = masked_lm
        self._paths = dict(paths or {})
        self._made: dict[str, Any] = {}
        self._used: dict[str, str] = {}

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` returned when this name was first asked for."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def used(self) -> tuple[str, ...]:
        """Each resource loaded so far: where it was found, its digest, and what it stands in for."""
        return tuple(self._used[name] for name in sorted(self._used))

    def embedding(self) -> Any:
        """TextAttack's WordEmbedding over the word vectors of words.

        Entries that are no English words (punctuation, numbers, other scripts) are left out: TextAttack takes some for
        no word at all, and where such a one is put in a text its sentence encoders raise StopIteration.
        """
        return self.once("embedding", lambda: textattack_embedding(word_vectors(self._find("word-vectors"))))

    @property
    def encode(self) -> Encode:
        """The sentence encoder; loaded when it first encodes."""
        if self._given_encode is not None:
            self._used["sentence-encoder"] = GIVEN
            return self._given_encode
        self._find("sentence-encoder")
        return self._encode

    def masked_lm(self, name: str = "masked-lm") -> MaskedLM:
        """The masked language model of this resource."""
        if self._given_masked_lm is not None:
            self._used[name] = f"{name} given by the caller"
            return self.once(name, self._given_masked_lm)  # type: ignore[no-any-return]
        return self.once(name, lambda: _in_memory(_load_masked_lm(self._find(name))))  # type: ignore[no-any-return]

    def tagger(self) -> Tagger:
        """The POS tagger."""
        return self.once("tagger", lambda: read_tagger(self._find("pos-tagger").path))  # type: ignore[no-any-return]

    def wordnet(self) -> Any:
        """WordNet, by nltk's reader."""
        return self.once("wordnet", lambda: wordnet_reader(self._find("wordnet")))

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        load = self.once("sentence-encoder", lambda: _load_encoder(self._find("sentence-encoder")))
        return load(texts)  # type: ignore[no-any-return]

    def _find(self, name: str) -> Found:
        found: Found = self.once(f"found {name}", lambda: find(name, self._paths.get(name)))
        self._used[name] = found.described
        return found


@lru_cache(maxsize=2)
def word_vectors(found: Found) -> WordVectors:
    """The vectors of words in a file; neighbours once looked up stay known to all attacks of the process."""
    vectors = read_vectors(found.path)
    kept = [at for at, word in enumerate(vectors.words) if _WORD.fullmatch(word)]
    if not kept:
        raise UsageError(f"{found.path}: holds no vector of an English word; give another file")
    return WordVectors([vectors.words[at] for at in kept], vectors.matrix[kept])


def sentence_encoder(path: str | Path | None = None, *, device: str = "auto") -> Encode:
    """The sentence-encoder resource in memory, outside an audit. Raises ResourceMissing, UsageError."""
    return _load_encoder(find("sentence-encoder", path), device)


def _load_encoder(found: Found, device: str = "auto") -> Encode:
    from harness.scorer.hf import HFScorer

    return encoder_of(HFScorer(_loaded(found, device)))


def encoder_of(scorer: Scorer) -> Encode:
    """A model as the sentence encoder of a search."""

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        """Mean of the last hidden states, special tokens included, as all-MiniLM was trained."""
        answers = scorer.ask([EmbedRequest(text) for text in texts])
        for text, answer in zip(texts, answers, strict=True):
            if answer.error is not None:
                raise ValueError(f"the sentence encoder gives no vector: {answer.error}, asked for {text[:60]!r}")
        return np.stack([answer.vector for answer in answers]).astype(np.float32)

    return encode


def masked_lm_scorer(name: str, *, device: str = "auto") -> Scorer:
    """The masked language model of this resource, outside an audit. Raises ResourceMissing, UsageError."""
    from harness.scorer.hf import HFScorer

    return HFScorer(_load_masked_lm(find(name), device))


def _load_masked_lm(found: Found, device: str = "auto") -> LoadedCheckpoint:
    loaded = _loaded(found, device)
    if Need.MASKED_LM not in loaded.info.offers:
        raise UsageError(f"{found.path}: is no masked language model but {loaded.info.architecture}; give one")
    return loaded


def _in_memory(loaded: LoadedCheckpoint) -> MaskedLM:
    return MaskedLM(loaded.model, loaded.tokenizer, most_tokens(loaded.info))


def most_tokens(info: CheckpointInfo) -> int:
    """Of a text that a masked language model is given."""
    return min(_LONGEST, info.max_tokens)


def _loaded(found: Found, device: str = "auto") -> LoadedCheckpoint:
    """In float32 whatever the device: thresholds must not hang on rounding."""
    from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint

    return load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(found.path))), device=device, dtype="fp32")


def textattack_embedding(vectors: WordVectors, k: int = 50) -> Any:
    """TextAttack's `WordEmbedding` over the unit vectors; the `k` nearest by cosine are worked out word by word."""
    load_textattack()
    from textattack.shared import WordEmbedding

    places = dict(enumerate(vectors.words))
    return WordEmbedding(vectors.unit, vectors.index, places, LazyNeighbours(vectors, k))


class LazyNeighbours:
    """What TextAttack takes for a matrix (n words, 1 + k): row i holds i, then its `k` nearest."""

    def __init__(self, vectors: WordVectors, k: int) -> None:
        self._vectors = vectors
        self.shape = (len(vectors), k + 1)

    def __getitem__(self, place: int) -> NDArray[np.intp]:
        nearest, _ = self._vectors.nearest(int(place), self.shape[1] - 1)
        return np.concatenate([np.array([place], np.intp), nearest])
