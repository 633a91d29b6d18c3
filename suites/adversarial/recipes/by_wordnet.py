"""Recipes whose substitutes are WordNet's synonyms."""

from __future__ import annotations

from typing import Any

from suites.adversarial.recipes.parts import Goal, Parts
from suites.adversarial.recipes.pieces import assembled, premise_kept, repeat_and_stop_words, wordnet_synonyms
from suites.adversarial.recipes.recipe import Recipe

_SENSE = (
    "whether a reader would still see the true class: a synonym in one sense of the word may be wrong in this text; "
    "a failed attack is no proof of robustness"
)
_ORDER = (
    "Candidates come in WordNet's order, where TextAttack's hangs on Python's hash seed, so ties may end otherwise."
)


def pwws(parts: Parts, goal: Goal) -> Any:
    """PWWSRen2019."""
    search = parts.textattack.search_methods.GreedyWordSwapWIR("weighted-saliency")
    return assembled(parts, goal, wordnet_synonyms(parts), repeat_and_stop_words(parts), search)


def pso(parts: Parts, goal: Goal) -> Any:
    """PSOZang2020 with WordNet's synonyms instead of HowNet's sememes."""
    search = parts.textattack.search_methods.ParticleSwarmOptimization(pop_size=60, max_iters=20)
    constraints = [*repeat_and_stop_words(parts), premise_kept(parts)]
    return assembled(parts, goal, wordnet_synonyms(parts), constraints, search)


RECIPES = (
    Recipe(
        "pwws",
        "1",
        pwws,
        "Swaps words for synonyms, ranked by saliency times the best swap's effect",
        "Ren, Deng, He & Che 2019, Generating Natural Language Adversarial Examples through Probability Weighted Word "
        "Saliency (ACL, P19-1103)",
        "As PWWSRen2019 of TextAttack: named entities are not swapped (the paper takes them from the training data of "
        f"other classes), stop words are left alone, and synonyms may be of any part of speech. {_ORDER}",
        _SENSE,
        ("wordnet",),
    ),
    Recipe(
        "pso",
        "1",
        pso,
        "Moves a swarm of texts of synonym swaps towards the goal (particle swarm optimisation)",
        "Zang et al. 2020, Word-level Textual Adversarial Attacking as Combinatorial Optimization "
        "(ACL, 2020.acl-main.540)",
        "As PSOZang2020 of TextAttack in search (60 particles, 20 iterations) and constraints; substitutes are "
        "WordNet's synonyms of any part of speech, where the paper takes words of the same sememes and part of "
        f"speech from HowNet, which is not to be had offline. {_ORDER}",
        _SENSE + "; another seed moves otherwise",
        ("wordnet",),
        deterministic=False,
    ),
)
