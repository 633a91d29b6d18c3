"""Runs one attack on one prompt: built from a recipe after another goal, its result as the columns of a row."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.api.case import Case
from harness.api.probe import RowDict
from suites.adversarial.attacks.result import OUTCOMES, NothingToAttackError, changed_words
from suites.adversarial.attacks.run import Build
from suites.adversarial.pooled.lean_text import lean_text_class
from suites.adversarial.recipes.parts import Goal, Parts
from suites.adversarial.resources.textattack_env import load_textattack

if TYPE_CHECKING:
    from suites.adversarial.prompt.answers import AnswerScores

PromptGoalName = Literal["answer", "likelihood"]


@dataclass(frozen=True, slots=True)
class PromptBuild:
    """Builds a recipe's attack after a goal of prompts: its search, transformation and constraints. Picklable.

    `drop` in nats is the `likelihood` goal's.
    """

    recipe: Build
    goal: PromptGoalName
    drop: float

    def __call__(self, parts: Parts, goal: Goal) -> Any:
        """A textattack.Attack; `goal` is what the recipe is built with, and then replaced."""
        from suites.adversarial.prompt.goals import AnswerLost, LikelihoodDrop

        function = AnswerLost() if self.goal == "answer" else LikelihoodDrop(self.drop)
        return after_goal(function, self.recipe(parts, goal), parts.textattack)


def after_goal(function: Any, attack: Any, textattack: Any) -> Any:
    """The attack with another goal function."""
    constraints = [*attack.constraints, *attack.pre_transformation_constraints]
    return textattack.Attack(function, constraints, attack.transformation, attack.search_method)


def attacked_prompt(attack: Any, case: Case) -> RowDict:
    """The columns that the attack decides. Raises whatever breaks in it, NothingToAttackError without a word."""
    data, goal = case.data, attack.goal_function
    prompt = lean_text_class(load_textattack())(data["prompt"])
    if prompt.num_words == 0:
        raise NothingToAttackError("the prompt has no word to attack")
    attack.clear_cache()  # after a crash or a skip TextAttack leaves what belongs to another text
    goal.around = (data["before"], data["after"])
    result = attack.attack(prompt, data["answer"])
    first, queries = result.original_result, int(result.num_queries)
    outcome = OUTCOMES[type(result).__name__]
    scores: AnswerScores = first.raw_output
    return {
        **data,
        "outcome": outcome,
        "queries": queries,
        "budget_exhausted": outcome == "failed" and queries >= goal.query_budget,
        "matched": scores.matched,
        "logprob": scores.logprob,
        "answer_tokens": scores.tokens,
        "score": float(first.score),
        "words": first.attacked_text.num_words,
        "stop_words": attack.stop_words,
        **({} if outcome == "skipped" else _perturbed(result)),
    }


def _perturbed(result: Any) -> RowDict:
    """The columns a skipped prompt leaves empty."""
    first, last = result.original_result.attacked_text, result.perturbed_result.attacked_text
    scores: AnswerScores = result.perturbed_result.raw_output
    changed = changed_words(first, last)
    return {
        "perturbed_prompt": last.tokenizer_input,
        "final_matched": scores.matched,
        "perturbed_logprob": scores.logprob,
        "perturbed_score": float(result.perturbed_result.score),
        "changed_words": changed,
        "changed_share": changed / first.num_words,
        "edit_distance": importlib.import_module("editdistance").eval(first.text, last.text),
    }
