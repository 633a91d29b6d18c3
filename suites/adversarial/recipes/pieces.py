"""Pieces that recipes share: the attack itself, and constraints and transformations over the resources."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from harness.errors import UsageError
from suites.adversarial.recipes.parts import Goal, Parts


def assembled(parts: Parts, goal: Goal, transformation: Any, constraints: Sequence[Any], search: Any) -> Any:
    """A textattack.Attack that changes the class. Raises UsageError for the goal of input reduction."""
    goals = parts.textattack.goal_functions
    if goal.kind == "input reduction":
        raise UsageError("this attack changes the predicted class; input reduction is a recipe of its own")
    if goal.kind == "targeted":
        function = goals.TargetedClassification(parts.victim, target_class=goal.target_class)
    else:
        function = goals.UntargetedClassification(parts.victim)
    return parts.textattack.Attack(function, list(constraints), transformation, search)


def untargeted_only(goal: Goal, name: str) -> None:
    """Raises UsageError for a goal with a target class."""
    if goal.kind == "targeted":
        raise UsageError(f"{name} cannot be after one class; leave the target out")


def repeat_and_stop_words(parts: Parts, words: Collection[str] | None = None) -> list[Any]:
    """No word is changed twice, and no stop word: those of `words`, else the parts'."""
    rules = parts.textattack.constraints.pre_transformation
    chosen = parts.stop_words.words if words is None else words
    return [rules.RepeatModification(), rules.StopwordModification(stopwords=chosen)]


def premise_kept(parts: Parts) -> Any:
    """Of a pair only the hypothesis is changed."""
    rules = parts.textattack.constraints.pre_transformation
    return rules.InputColumnModification(["premise", "hypothesis"], {"premise"})


def same_part_of_speech(parts: Parts, *, tagset: str | None = "universal", allow_verb_noun_swap: bool = True) -> Any:
    """PartOfSpeech by the tagger resource."""
    from suites.adversarial.recipes.components import ResourcePartOfSpeech

    return ResourcePartOfSpeech(parts.tagger(), tagset=tagset, allow_verb_noun_swap=allow_verb_noun_swap)


def similar_sentence(parts: Parts, threshold: float, metric: str = "angular", **settings: Any) -> Any:
    """SentenceEncoder by the sentence encoder of the parts."""
    from suites.adversarial.recipes.components import ResourceSentenceEncoder

    return ResourceSentenceEncoder(parts.encode, threshold, metric, **settings)


def close_word(parts: Parts, **limits: Any) -> Any:
    """WordEmbeddingDistance on the word vectors."""
    return parts.textattack.constraints.semantics.WordEmbeddingDistance(embedding=parts.embedding(), **limits)


def neighbours(parts: Parts, most: int) -> Any:
    """WordSwapEmbedding on the word vectors."""
    return parts.textattack.transformations.WordSwapEmbedding(max_candidates=most, embedding=parts.embedding())


def wordnet_synonyms(parts: Parts) -> Any:
    """WordSwapWordNet on the WordNet resource."""
    from suites.adversarial.recipes.components import ResourceWordNetSwap, Synonyms

    return ResourceWordNetSwap(parts.once("synonyms", lambda: Synonyms(parts.wordnet())))
