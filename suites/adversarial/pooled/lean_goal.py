"""TextAttack's goal functions with one tie rule, and without tensor operations for every text.

Outcome, queries and scores are those of TextAttack 0.3.11, scores rounded to 1e-6.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

DIGITS = 6
"""Scores that differ by less are equal, and of equal ones searches take the first: batching decides nothing."""


def lean_goal(attack: Any) -> None:
    """Change the goal function of an attack (the instance). Of an unknown kind only scores are rounded."""
    goals = _goals()
    goal = attack.goal_function
    if type(goal) in goals:
        complete, score = goals[type(goal)]
        goal.lean_is_complete, goal.lean_score = MethodType(complete, goal), MethodType(score, goal)
        goal.lean_outputs = {}
        goal.get_results = MethodType(_get_results, goal)
        goal.clear_cache = goal.lean_outputs.clear
    else:
        exact = goal._get_score
        goal._get_score = lambda output, text: round(float(exact(output, text)), DIGITS)
    attack.search_method.get_goal_results = goal.get_results


def _goals() -> dict[type, tuple[Any, Any]]:
    from textattack.goal_functions import InputReduction, TargetedClassification, UntargetedClassification

    return {
        UntargetedClassification: (_untargeted_complete, _untargeted_score),
        TargetedClassification: (_targeted_complete, _targeted_score),
        InputReduction: (_reduced_complete, _reduced_score),
    }


def _get_results(goal: Any, texts: list[Any], check_skip: bool = False) -> tuple[list[Any], bool]:
    """As GoalFunction.get_results; queries are counted before any cache, and cut off at the budget."""
    from textattack.goal_function_results import GoalFunctionResultStatus as Status

    if goal.query_budget < float("inf"):
        texts = texts[: goal.query_budget - goal.num_queries]
    goal.num_queries += len(texts)
    make = goal._goal_function_result_type()
    results = []
    for text, output in zip(texts, _outputs(goal, texts), strict=True):
        label = int(output.argmax())
        if check_skip and goal.allow_skip and _skipped(goal, output, label, text):
            status = Status.SKIPPED
        elif goal.maximizable:
            status = Status.MAXIMIZING
        else:
            status = Status.SUCCEEDED if goal.lean_is_complete(output, label, text) else Status.SEARCHING
        score = round(float(goal.lean_score(output, label, text)), DIGITS)
        results.append(make(text, output, label, status, score, goal.num_queries, goal.ground_truth_output))
    return results, goal.num_queries == goal.query_budget


def _outputs(goal: Any, texts: list[Any]) -> list[Any]:
    """Class probabilities of each text, float32 [labels]; the model is asked for each text once per attack."""
    known = goal.lean_outputs
    new = list({text.tokenizer_input: text for text in texts if text.tokenizer_input not in known}.values())
    if new:
        found = goal._call_model_uncached(new).numpy()
        known.update(zip((text.tokenizer_input for text in new), found, strict=True))
    return [known[text.tokenizer_input] for text in texts]


def _skipped(goal: Any, output: Any, label: int, text: Any) -> bool:
    from textattack.goal_functions import InputReduction

    if isinstance(goal, InputReduction):
        return bool(label != goal.ground_truth_output)
    return bool(goal.lean_is_complete(output, label, text))


def _untargeted_complete(goal: Any, output: Any, label: int, _: Any) -> bool:
    if goal.target_max_score:
        return bool(output[goal.ground_truth_output] < goal.target_max_score)
    return bool(label != goal.ground_truth_output)


def _untargeted_score(goal: Any, output: Any, *_: Any) -> Any:
    return 1 - output[goal.ground_truth_output]


def _targeted_complete(goal: Any, _: Any, label: int, __: Any) -> bool:
    return bool(label == goal.target_class or goal.ground_truth_output == goal.target_class)


def _targeted_score(goal: Any, output: Any, *_: Any) -> Any:
    if not 0 <= goal.target_class < len(output):
        raise ValueError(f"target class set to {goal.target_class} with {len(output)} classes.")
    return output[goal.target_class]


def _reduced_complete(goal: Any, _: Any, label: int, text: Any) -> bool:
    return bool(label == goal.ground_truth_output and text.num_words <= goal.target_num_words)


def _reduced_score(goal: Any, output: Any, label: int, text: Any) -> Any:
    """Share of words gone; the true class's probability breaks ties; 0 where the label is lost."""
    if label != goal.ground_truth_output:
        return 0
    words = goal.initial_attacked_text.num_words
    gone = max((words - text.num_words) / words, 0)
    return min(gone + output[goal.ground_truth_output] / words, 1)
