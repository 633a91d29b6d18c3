"""Published attacks as named, versioned recipes of TextAttack's components; importing this imports no TextAttack."""

from suites.adversarial.recipes.catalogue import RECIPES, find_recipe
from suites.adversarial.recipes.parts import INPUT_REDUCTION, UNTARGETED, Goal, Parts, targeted
from suites.adversarial.recipes.recipe import Recipe

__all__ = ["INPUT_REDUCTION", "RECIPES", "UNTARGETED", "Goal", "Parts", "Recipe", "find_recipe", "targeted"]
