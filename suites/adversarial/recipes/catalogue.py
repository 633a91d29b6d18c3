"""All recipes by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.errors import UsageError
from suites.adversarial.recipes import by_characters, by_gradient, by_masked_lm, by_rules, by_vectors, by_wordnet
from suites.adversarial.recipes.recipe import Recipe

_ALL = (
    *by_vectors.RECIPES,
    *by_masked_lm.RECIPES,
    *by_wordnet.RECIPES,
    *by_characters.RECIPES,
    *by_gradient.RECIPES,
    *by_rules.RECIPES,
)
RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _ALL})
"""Every recipe by its name."""


def find_recipe(name: str) -> Recipe:
    """The recipe of this name. Raises UsageError for an unknown one."""
    if name not in RECIPES:
        raise UsageError(f"no recipe is called {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]
