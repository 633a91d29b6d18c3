"""Recipes that misspell words."""

from __future__ import annotations

from typing import Any

from suites.adversarial.recipes.parts import Goal, Parts
from suites.adversarial.recipes.pieces import assembled, neighbours, repeat_and_stop_words, similar_sentence
from suites.adversarial.recipes.recipe import Recipe

_READABLE = (
    "whether a reader would still see the true class in the misspelt text, or whether other random letters would "
    "succeed: a failed attack is no proof of robustness"
)


def deepwordbug(parts: Parts, goal: Goal) -> Any:
    """DeepWordBugGao2018."""
    kinds = parts.textattack.transformations
    transformation = kinds.CompositeTransformation(
        [
            kinds.WordSwapNeighboringCharacterSwap(),
            kinds.WordSwapRandomCharacterSubstitution(),
            kinds.WordSwapRandomCharacterDeletion(),
            kinds.WordSwapRandomCharacterInsertion(),
        ]
    )
    constraints = [*repeat_and_stop_words(parts), parts.textattack.constraints.overlap.LevenshteinEditDistance(30)]
    search = parts.textattack.search_methods.GreedyWordSwapWIR()
    return assembled(parts, goal, transformation, constraints, search)


def textbugger(parts: Parts, goal: Goal) -> Any:
    """TextBuggerLi2018."""
    from suites.adversarial.recipes.components import homoglyph_swap

    kinds = parts.textattack.transformations
    inner = {"random_one": True, "skip_first_char": True, "skip_last_char": True}
    transformation = kinds.CompositeTransformation(
        [
            kinds.WordSwapRandomCharacterInsertion(letters_to_insert=" ", **inner),
            kinds.WordSwapRandomCharacterDeletion(**inner),
            kinds.WordSwapNeighboringCharacterSwap(**inner),
            homoglyph_swap(),
            neighbours(parts, 5),
        ]
    )
    constraints = [*repeat_and_stop_words(parts), similar_sentence(parts, 0.8)]
    search = parts.textattack.search_methods.GreedyWordSwapWIR(wir_method="delete")
    return assembled(parts, goal, transformation, constraints, search)


def pruthi(parts: Parts, goal: Goal) -> Any:
    """Pruthi2019."""
    kinds, overlap = parts.textattack.transformations, parts.textattack.constraints.overlap
    inner = {"random_one": False, "skip_first_char": True, "skip_last_char": True}
    transformation = kinds.CompositeTransformation(
        [
            kinds.WordSwapNeighboringCharacterSwap(**inner),
            kinds.WordSwapRandomCharacterDeletion(**inner),
            kinds.WordSwapRandomCharacterInsertion(**inner),
            kinds.WordSwapQWERTY(**inner),
        ]
    )
    not_twice, no_stop_words = repeat_and_stop_words(parts)
    constraints = [
        parts.textattack.constraints.pre_transformation.MinWordLength(min_length=4),
        no_stop_words,
        overlap.MaxWordsPerturbed(max_num_words=1),
        not_twice,
    ]
    return assembled(parts, goal, transformation, constraints, parts.textattack.search_methods.GreedySearch())


RECIPES = (
    Recipe(
        "deepwordbug",
        "1",
        deepwordbug,
        "Misspells words, most important first: neighbours swapped, a letter substituted, deleted or inserted",
        "Gao, Lanchantin, Soffa & Qi 2018, Black-box Generation of Adversarial Text Sequences to Evade Deep Learning "
        "Classifiers (arXiv:1801.04354)",
        "As DeepWordBugGao2018 of TextAttack: words are ranked with [UNK] (the paper also has temporal and combined "
        "scores) and changed one by one until the class flips, each in the best of four ways (the paper changes the "
        "top words at once, in one way); stop words are left alone; at most 30 characters of the whole text are "
        "edited.",
        _READABLE,
        deterministic=False,
    ),
    Recipe(
        "textbugger",
        "1",
        textbugger,
        "Misspells words or swaps them for neighbours, most important first, in a like sentence",
        "Li, Ji, Du, Li & Wang 2019, TextBugger: Generating Adversarial Text Against Real-world Applications "
        "(arXiv:1812.05271)",
        "As TextBuggerLi2018 of TextAttack: words are ranked by deletion, sentences are not ranked first (for long "
        "texts the paper does), stop words are left alone. Letters are replaced by TextAttack's look-alikes, its "
        "built-in table of one per character (the paper also has neighbours on the keyboard); the file of more "
        "look-alikes is missing from its wheel and not used by this attack. Substituted: MiniLM for the Universal "
        "Sentence Encoder, under the same angle of 0.8 over the whole text; word vectors as the resources say.",
        _READABLE,
        ("word-vectors", "sentence-encoder"),
        deterministic=False,
    ),
    Recipe(
        "pruthi",
        "1",
        pruthi,
        "Misspells one word by one slip inside it: neighbours swapped, a letter dropped, added, or from the next key",
        "Pruthi, Dhingra & Lipton 2019, Combating Adversarial Misspellings with Robust Word Recognition "
        "(arXiv:1905.11268)",
        "As Pruthi2019 of TextAttack with one changed word (the paper has one and two): all places in all words of "
        "four letters or more are tried, but of added letters one random one at each place (the paper: those near on "
        "the keyboard).",
        _READABLE,
        deterministic=False,
    ),
)
