"""Replaces an attack's components by ones that give the same for less work."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from suites.adversarial.faster.embeddings import measure_together
from suites.adversarial.faster.encoders import encode_once, is_plain_encoder
from suites.adversarial.faster.masked_lm import masked_insertion, masked_merge, masked_swap
from suites.adversarial.faster.memo import Memo, class_name, twin_of
from suites.adversarial.faster.order import COSTS, ENCODER, cheap_first
from suites.adversarial.faster.part_of_speech import tag_together
from suites.adversarial.faster.swaps import embedding_swap, wordnet_swap

_COMPOSITE = "textattack.transformations.composite_transformation.CompositeTransformation"
_FASTER: dict[str, Callable[[Any, Memo], Any]] = {
    "textattack.constraints.grammaticality.part_of_speech.PartOfSpeech": tag_together,
    "suites.adversarial.recipes.components.ResourcePartOfSpeech": tag_together,
    "textattack.constraints.semantics.word_embedding_distance.WordEmbeddingDistance": measure_together,
    "textattack.transformations.word_swaps.word_swap_embedding.WordSwapEmbedding": embedding_swap,
    "textattack.transformations.word_swaps.word_swap_wordnet.WordSwapWordNet": wordnet_swap,
    "textattack.transformations.word_swaps.word_swap_masked_lm.WordSwapMaskedLM": masked_swap,
    "textattack.transformations.word_insertions.word_insertion_masked_lm.WordInsertionMaskedLM": masked_insertion,
    "suites.adversarial.recipes.components.ResourceWordMerge": masked_merge,
    "textattack.transformations.word_merges.word_merge_masked_lm.WordMergeMaskedLM": masked_merge,
}
"""Only these very classes: a subclass may do otherwise."""


def speed_up(attack: Any, memo: Memo) -> None:
    """Replaces constraints and transformations of a textattack.Attack by equal ones that do less, cheap ones first.

    Candidates, decisions and survivors' attributes are as of stock 0.3.11, similarities up to float32 rounding. The
    components the attack was made from are left as they are. What is worked out is kept in `memo` for other attacks,
    also in other threads; a process needs its own. Not faster are: classes not known here, and constraints on which
    words may change, which cost next to nothing.
    """
    attack.constraints = cheap_first([_faster(constraint, memo) for constraint in attack.constraints], _rank)
    attack.transformation = _faster_transformation(attack.transformation, memo)


def _faster(component: Any, memo: Memo) -> Any:
    if _is_encoder(component):
        return encode_once(component, memo)
    make = _FASTER.get(class_name(component))
    return component if make is None else make(component, memo)


def _faster_transformation(transformation: Any, memo: Memo) -> Any:
    if class_name(transformation) != _COMPOSITE:
        return _faster(transformation, memo)
    twin = twin_of(transformation)
    twin.transformations = [_faster_transformation(part, memo) for part in transformation.transformations]
    return twin


def _rank(constraint: Any) -> int | None:
    return ENCODER if _is_encoder(constraint) else COSTS.get(class_name(constraint))


def _is_encoder(component: Any) -> bool:
    stock = importlib.import_module("textattack.constraints.semantics.sentence_encoders").SentenceEncoder
    return is_plain_encoder(component, stock)
