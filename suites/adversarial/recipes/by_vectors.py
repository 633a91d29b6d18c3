"""Recipes whose substitutes are neighbours in a space of word vectors."""

from __future__ import annotations

from typing import Any

from suites.adversarial.recipes.parts import Goal, Parts
from suites.adversarial.recipes.pieces import (
    assembled,
    close_word,
    neighbours,
    premise_kept,
    repeat_and_stop_words,
    same_part_of_speech,
    similar_sentence,
)
from suites.adversarial.recipes.recipe import Recipe

TEXTFOOLER_ANGLE = 0.840845057
"""1 - 0.5 / pi: the public code compares the angle without dividing it by pi."""
_MEANING = (
    "whether a reader would still see the true class in the changed text: neighbours of a word vector need not mean "
    "the same, and GloVe that is not counter-fitted puts antonyms close; a failed attack is no proof of robustness"
)
_ENCODER = (
    "the sentence encoder is MiniLM instead of the Universal Sentence Encoder, with the threshold set for that one"
)


def textfooler(parts: Parts, goal: Goal) -> Any:
    """TextFoolerJin2019."""
    constraints = [
        *repeat_and_stop_words(parts, _textfooler_stop_words(parts)),
        premise_kept(parts),
        close_word(parts, min_cos_sim=0.5),
        same_part_of_speech(parts),
        similar_sentence(
            parts,
            TEXTFOOLER_ANGLE,
            compare_against_original=False,
            window_size=15,
            skip_text_shorter_than_window=True,
        ),
    ]
    search = parts.textattack.search_methods.GreedyWordSwapWIR(wir_method="delete")
    return assembled(parts, goal, neighbours(parts, 50), constraints, search)


def textfooler_adjusted(parts: Parts, goal: Goal) -> Any:
    """TextFooler under the thresholds of Morris et al.; TextAttack 0.3.11 has no such recipe."""
    constraints = [
        *repeat_and_stop_words(parts, _textfooler_stop_words(parts)),
        premise_kept(parts),
        close_word(parts, min_cos_sim=0.9),
        same_part_of_speech(parts, tagset=None, allow_verb_noun_swap=False),
        similar_sentence(parts, 0.98, "cosine", compare_against_original=False, window_size=15),
    ]
    search = parts.textattack.search_methods.GreedyWordSwapWIR(wir_method="delete")
    return assembled(parts, goal, neighbours(parts, 50), constraints, search)


def iga(parts: Parts, goal: Goal) -> Any:
    """IGAWang2019."""
    constraints = [
        repeat_and_stop_words(parts)[1],  # the search itself bounds how often a place is changed
        parts.textattack.constraints.overlap.MaxWordsPerturbed(max_percent=0.2),
        close_word(parts, max_mse_dist=0.5, compare_against_original=False),
    ]
    search = parts.textattack.search_methods.ImprovedGeneticAlgorithm(
        pop_size=60, max_iters=20, max_replace_times_per_index=5, post_crossover_check=False
    )
    return assembled(parts, goal, neighbours(parts, 50), constraints, search)


def faster_genetic(parts: Parts, goal: Goal) -> Any:
    """FasterGeneticAlgorithmJia2019 without its language model."""
    constraints = [
        *repeat_and_stop_words(parts),
        parts.textattack.constraints.overlap.MaxWordsPerturbed(max_percent=0.2),
        close_word(parts, max_mse_dist=0.5),
    ]
    search = parts.textattack.search_methods.AlzantotGeneticAlgorithm(
        pop_size=60, max_iters=40, post_crossover_check=False
    )
    return assembled(parts, goal, neighbours(parts, 8), constraints, search)


def _textfooler_stop_words(parts: Parts) -> Any:
    from suites.adversarial.recipes.components import textfooler_stop_words

    return parts.once("TextFooler's stop words", lambda: textfooler_stop_words(parts.embedding()))


RECIPES = (
    Recipe(
        "textfooler",
        "1",
        textfooler,
        "Swaps words, most important first, for neighbours of like part of speech in a like sentence",
        "Jin, Jin, Zhou & Szolovits 2020, Is BERT Really Robust? (arXiv:1907.11932)",
        "As TextFoolerJin2019 of TextAttack: word cosine at least 0.5 as in the authors' code (0.7 in the paper), "
        "angle of sentences 0.8408 (the paper's 0.5, whose code forgets pi) in a window of 15 words against the text "
        f"of the step before, shorter texts unchecked, verbs and nouns may change places. Substituted: {_ENCODER}; "
        "word vectors and tagger as the resources say. Stop words are the authors' own list, not the audit's.",
        _MEANING,
        ("word-vectors", "pos-tagger", "sentence-encoder"),
    ),
    Recipe(
        "textfooler_adjusted",
        "1",
        textfooler_adjusted,
        "TextFooler under the thresholds that people set: word cosine at least 0.9, sentence cosine at least 0.98",
        "Morris, Lifland, Lanchantin, Ji & Qi 2020, Reevaluating Adversarial Examples in Natural Language "
        "(arXiv:2004.14174)",
        "Not in TextAttack 0.3.11. The authors allow no new grammar error by LanguageTool, which needs Java: instead a "
        "substitute must have the same Penn Treebank tag (number, tense), which is weaker. Search, candidates and stop "
        "words are those of our textfooler, so the two differ in constraints alone (the authors' code ranks by [UNK]). "
        f"Sentences are compared in a window of 15 words with the step before. Substituted: {_ENCODER}: 0.98 was set "
        "by people for another encoder and is not calibrated for this one.",
        _MEANING,
        ("word-vectors", "pos-tagger", "sentence-encoder"),
    ),
    Recipe(
        "iga",
        "1",
        iga,
        "Breeds texts of neighbour swaps, at most a fifth of the words, by an improved genetic algorithm",
        "Wang, Jin & He 2019, Natural Language Adversarial Attack and Defense in Word Level (arXiv:1909.06723)",
        "As IGAWang2019 of TextAttack: population 60, 20 generations, a place is changed at most five times, squared "
        "distance of unit vectors at most 0.5 to the step before; of pairs both texts are changed. Word vectors as the "
        "resources say: in GloVe few neighbours are as close.",
        _MEANING + "; another seed breeds other texts",
        ("word-vectors",),
        deterministic=False,
    ),
    Recipe(
        "faster_genetic",
        "1",
        faster_genetic,
        "Breeds texts of neighbour swaps, at most a fifth of the words, by a genetic algorithm",
        "Jia, Raghunathan, Goksel & Liang 2019, Certified Robustness to Adversarial Word Substitutions "
        "(arXiv:1909.00986), after Alzantot et al. 2018",
        "As FasterGeneticAlgorithmJia2019 of TextAttack (population 60, 40 generations, 8 neighbours, squared distance "
        "of unit vectors at most 0.5 to the original), without its language model of Holtzman et al. 2018, which is "
        "not to be had offline: more substitutes are allowed, and less fluent ones. Word vectors as the resources say.",
        _MEANING + "; another seed breeds other texts",
        ("word-vectors",),
        deterministic=False,
    ),
)
