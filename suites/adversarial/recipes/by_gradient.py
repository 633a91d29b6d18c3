"""Recipes that ask the victim for gradients (white box)."""

from __future__ import annotations

from typing import Any

from harness.errors import UsageError
from suites.adversarial.recipes.parts import Goal, Parts
from suites.adversarial.recipes.pieces import (
    assembled,
    close_word,
    neighbours,
    premise_kept,
    repeat_and_stop_words,
    same_part_of_speech,
    similar_sentence,
    untargeted_only,
)
from suites.adversarial.recipes.recipe import Recipe
from suites.adversarial.victims.gradients import WordGradientVictim, gradient_swaps_allowed


def a2t(parts: Parts, goal: Goal) -> Any:
    """A2TYoo2021; needs a `GradientVictim`."""
    _gives_gradients(parts, "a2t")
    rules = parts.textattack.constraints.pre_transformation
    constraints = [
        *repeat_and_stop_words(parts),
        premise_kept(parts),
        same_part_of_speech(parts, allow_verb_noun_swap=False),
        rules.MaxModificationRate(max_rate=0.1, min_threshold=4),
        similar_sentence(parts, 0.9, "cosine"),
        close_word(parts, min_cos_sim=0.8),
    ]
    search = parts.textattack.search_methods.GreedyWordSwapWIR(
        wir_method="gradient", truncate_words_to=parts.victim.scorer.max_tokens
    )
    return assembled(parts, goal, neighbours(parts, 20), constraints, search)


def hotflip(parts: Parts, goal: Goal) -> Any:
    """HotFlipEbrahimi2017; needs a `GradientVictim`, whose gradients it takes by words."""
    untargeted_only(goal, "hotflip")
    _gives_gradients(parts, "hotflip")
    by_words = WordGradientVictim(parts.victim.scorer)
    with gradient_swaps_allowed():
        transformation = parts.textattack.transformations.WordSwapGradientBased(by_words, top_n=1)
    constraints = [
        *repeat_and_stop_words(parts),
        parts.textattack.constraints.overlap.MaxWordsPerturbed(max_num_words=2),
        close_word(parts, min_cos_sim=0.8),
        same_part_of_speech(parts),
    ]
    search = parts.textattack.search_methods.BeamSearch(beam_width=10)
    return assembled(parts, goal, transformation, constraints, search)


def _gives_gradients(parts: Parts, name: str) -> None:
    if not hasattr(parts.victim, "get_grad"):
        raise UsageError(f"{name} asks for gradients, and the victim gives class probabilities alone")


RECIPES = (
    Recipe(
        "a2t",
        "1",
        a2t,
        "Swaps words, ranked by gradient, for near neighbours of the same part of speech in a like sentence",
        "Yoo & Qi 2021, Towards Improving Adversarial Training of NLP Models (arXiv:2109.00544)",
        "As A2TYoo2021 of TextAttack with word vectors (not A2T-MLM): 20 neighbours of cosine at least 0.8, at most "
        "10% of the words or four, whichever is more, cosine of sentences at least 0.9. The gradient is taken in eval "
        "mode (TextAttack's own wrapper leaves dropout on). Substituted: MiniLM for the DistilBERT sentence encoder, "
        "under its threshold; word vectors and tagger as the resources say.",
        "whether a reader would still see the true class in the changed text; and a small rate of changes is a limit "
        "set for training, not a bound on what an attacker would do",
        ("word-vectors", "pos-tagger", "sentence-encoder"),
        black_box=False,
    ),
    Recipe(
        "hotflip",
        "1",
        hotflip,
        "Swaps at most two words for those of the steepest rise of the loss, by a beam of ten",
        "Ebrahimi, Rao, Lowd & Dou 2018, HotFlip: White-Box Adversarial Examples for Text Classification "
        "(arXiv:1712.06751), section 5",
        "As HotFlipEbrahimi2017 of TextAttack, which runs on its own LSTM alone: here the gradient of a word is that "
        "of its first token, and substitutes are tokens that are words by themselves. One candidate for each text of "
        "the beam, chosen by gradient before the constraints (word cosine at least 0.8, part of speech, where verbs "
        "and nouns may change places) are checked, so most are refused; words without a vector pass. Word vectors and "
        "tagger as the resources say.",
        "how the model stands up to more than two changed words: with one candidate a step, most of which constraints "
        "refuse, failure says little",
        ("word-vectors", "pos-tagger"),
        black_box=False,
        targeted=False,
    ),
)
