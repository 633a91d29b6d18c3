"""TextAttack's components over Assay's resources, handed in as objects: nothing of nltk is patched, no hub is asked.

Importing this module imports TextAttack; recipes import it when they are built.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from textattack.constraints.grammaticality import PartOfSpeech
from textattack.constraints.semantics.sentence_encoders import SentenceEncoder
from textattack.shared import utils
from textattack.transformations import WordMergeMaskedLM, WordSwap, WordSwapHomoglyphSwap, WordSwapWordNet

from suites.adversarial.recipes.parts import Encode
from suites.adversarial.resources.tagger import Tagger

ENCODING = "sentence-encoder"


class ResourceSentenceEncoder(SentenceEncoder):  # type: ignore[misc]
    """In place of UniversalSentenceEncoder and SBERT; thresholds and windows are SentenceEncoder's."""

    def __init__(self, encode: Encode, threshold: float, metric: str = "angular", **settings: Any) -> None:
        super().__init__(threshold=threshold, metric=metric, **settings)
        self.encode_texts = encode
        self.encoding_key = ENCODING
        """Encoders of the same key give a text the same vector."""

    def encode(self, sentences: Sequence[str]) -> torch.Tensor:
        """Vectors [sentences, width]."""
        return torch.as_tensor(self.encode_texts(list(sentences)))


class ResourcePartOfSpeech(PartOfSpeech):  # type: ignore[misc]
    """PartOfSpeech by a tagger that is handed in; `tagset` universal, or None for Penn Treebank tags."""

    def __init__(self, tagger: Tagger, *, tagset: str | None = "universal", allow_verb_noun_swap: bool = True) -> None:
        super().__init__(tagger_type="nltk", tagset=tagset, allow_verb_noun_swap=allow_verb_noun_swap)
        self.tagger = tagger

    @cached_property
    def perceptron(self) -> Any:
        """The tagger as nltk's PerceptronTagger."""
        made = importlib.import_module("nltk.tag.perceptron").PerceptronTagger(load=False)
        made.model.weights, made.tagdict = self.tagger.weights, self.tagger.tagdict
        made.classes = made.model.classes = set(self.tagger.classes)
        return made

    def _get_pos(self, before_ctx: list[str], word: str, after_ctx: list[str]) -> str:
        """The tag of the first such word of the context, as stock."""
        context = [*before_ctx, word, *after_ctx]
        return self.tagger.tags(context, universal=self.tagset == "universal")[context.index(word)]


class ResourceWordMerge(WordMergeMaskedLM):  # type: ignore[misc]
    """WordMergeMaskedLM that learns from a tagger that is handed in which words may be merged; stock asks flair's."""

    def __init__(self, tagger: Tagger, **settings: Any) -> None:
        super().__init__(**settings)
        self.tagger = tagger

    def _get_transformations(self, current_text: Any, indices_to_modify: Sequence[int]) -> list[Any]:
        tags = self.tagger.tags(current_text.words, universal=True)
        current_text.pos_of_word_index = tags.__getitem__  # this text alone answers so, while it is transformed
        try:
            return list(super()._get_transformations(current_text, indices_to_modify))
        finally:
            del current_text.pos_of_word_index


class Synonyms:
    """The single words of WordNet's synsets of a word, in WordNet's order; looked up once."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._known: dict[str, tuple[str, ...]] = {}

    def __call__(self, word: str) -> tuple[str, ...]:
        """Other spellings than the word's own; () for none."""
        if word not in self._known:
            names = (name for synset in self._reader.synsets(word) for name in synset.lemma_names())
            fit = (name for name in names if name != word and "_" not in name and utils.is_one_word(name))
            self._known[word] = tuple(dict.fromkeys(fit))
        return self._known[word]


class ResourceWordNetSwap(WordSwapWordNet):  # type: ignore[misc]
    """WordSwapWordNet on a WordNet that is handed in; candidates in WordNet's order, where stock's is a set's."""

    def __init__(self, synonyms: Synonyms) -> None:
        WordSwap.__init__(self)
        self.language = "eng"
        self.synonyms = synonyms

    def _get_replacement_words(self, word: str, *_: Any) -> list[str]:
        return list(self.synonyms(word))


def homoglyph_swap() -> Any:
    """A WordSwapHomoglyphSwap. Its constructor wants a file that the wheel of 0.3.11 lacks.

    It asks for that file last, and only DifferentialEvolution, which no recipe here uses, needs what is in it.
    """
    swap = object.__new__(WordSwapHomoglyphSwap)
    try:
        WordSwapHomoglyphSwap.__init__(swap)
    except FileNotFoundError:
        swap.homos_intentional = {}
    return swap


def textfooler_stop_words(embedding: Any) -> frozenset[str]:
    """The list of TextFooler's public code, as TextAttack's recipe holds it."""
    shared = importlib.import_module("textattack.shared")
    recipe = importlib.import_module("textattack.attack_recipes").TextFoolerJin2019
    before = shared.WordEmbedding.__dict__["counterfitted_GLOVE_embedding"]
    shared.WordEmbedding.counterfitted_GLOVE_embedding = staticmethod(lambda: embedding)  # else it is downloaded
    try:
        stock = recipe.build(_NoVictim())
    finally:
        shared.WordEmbedding.counterfitted_GLOVE_embedding = before
    (rule,) = [rule for rule in stock.pre_transformation_constraints if hasattr(rule, "stopwords")]
    return frozenset(rule.stopwords)


class _NoVictim:
    """Enough of a model wrapper for a goal function that is never asked."""

    model = None
