"""Recipes without a resource: input reduction, and CheckList's invariances."""

from __future__ import annotations

from typing import Any

from suites.adversarial.recipes.parts import Goal, Parts
from suites.adversarial.recipes.pieces import assembled, repeat_and_stop_words, untargeted_only
from suites.adversarial.recipes.recipe import Recipe


def input_reduction(parts: Parts, goal: Goal) -> Any:
    """InputReductionFeng2018; its goal is input reduction, also where none is named."""
    untargeted_only(goal, "input_reduction")
    textattack = parts.textattack
    return textattack.Attack(
        textattack.goal_functions.InputReduction(parts.victim, maximizable=True),
        repeat_and_stop_words(parts),
        textattack.transformations.WordDeletion(),
        textattack.search_methods.GreedyWordSwapWIR(wir_method="delete"),
    )


def checklist_inv(parts: Parts, goal: Goal) -> Any:
    """CheckList2020 without names and places."""
    kinds = parts.textattack.transformations
    transformation = kinds.CompositeTransformation(
        [kinds.WordSwapExtend(), kinds.WordSwapContract(), kinds.WordSwapChangeNumber()]
    )
    constraints = [parts.textattack.constraints.pre_transformation.RepeatModification()]
    return assembled(parts, goal, transformation, constraints, parts.textattack.search_methods.GreedySearch())


RECIPES = (
    Recipe(
        "input_reduction",
        "1",
        input_reduction,
        "Deletes words as long as the class stays: how little the model needs",
        "Feng et al. 2018, Pathologies of Neural Models Make Interpretations Difficult (arXiv:1804.07781)",
        "As InputReductionFeng2018 of TextAttack: words are ranked once by deletion (the paper ranks by gradient, "
        "anew after each step, and keeps a beam of five); the rule on stop words does not hold, since TextAttack "
        "applies it to swaps alone; a text ends maximised, never as a success. Single texts only: the paper reduces "
        "the hypothesis of a pair alone.",
        "why the class stays: confidence in a few words may be right, if they are the telling ones",
        pairs=False,
        targeted=False,
        reduces=True,
    ),
    Recipe(
        "checklist_inv",
        "1",
        checklist_inv,
        "Contracts, expands ('is not', \"isn't\") and changes numbers: the class should stay",
        "Ribeiro, Wu, Guestrin & Singh 2020, Beyond Accuracy: Behavioral Testing of NLP models with CheckList "
        "(arXiv:2005.04118)",
        "As CheckList2020 of TextAttack without its changes of names and places, which ask flair's named-entity model, "
        "loaded from a hub at the first text. It searches greedily through all combinations, where CheckList tests "
        "single changes. TextAttack contracts only in the words before the first changed one. Single texts only: a "
        "contraction may join a pair's two texts.",
        "whether the changed number should have changed the class; texts without a contraction or a number are not "
        "tested at all, and count as failed attacks",
        pairs=False,
        deterministic=False,
    ),
)
