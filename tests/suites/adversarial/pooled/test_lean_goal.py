"""Lean goal functions against TextAttack's own, on every kind of output."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from suites.adversarial.pooled.lean_goal import lean_goal
from suites.adversarial.pooled.lean_text import lean_text_class
from suites.adversarial.resources.textattack_env import load_textattack, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

TEXTS = ["a good film", "a film", "good", "the very long and good film", "a good film", "", "film"]


class Model:
    """Logits that depend on the text only; counts what it is asked."""

    model = None

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: list[str]) -> torch.Tensor:
        self.asked += texts
        rows = [np.random.default_rng([len(text), *map(ord, text)]).normal(size=3) for text in texts]
        return torch.tensor(np.array(rows), dtype=torch.float32)


def goals(model: Model, **options: Any) -> list[Any]:
    kinds = load_textattack().goal_functions
    return [
        kinds.UntargetedClassification(model, **options),
        kinds.UntargetedClassification(model, target_max_score=0.3, **options),
        kinds.TargetedClassification(model, target_class=2, **options),
        kinds.InputReduction(model, target_num_words=1, **options),
        kinds.UntargetedClassification(model, maximizable=True, **options),
    ]


def lean(goal: Any) -> Any:
    lean_goal(SimpleNamespace(goal_function=goal, search_method=SimpleNamespace()))
    return goal


def seen(found: tuple[list[Any], bool], *, rounded: bool) -> tuple[list[tuple[Any, ...]], bool]:
    results, over = found
    return [
        (
            one.attacked_text.text,
            one.output,
            one.goal_status,
            round(float(one.score), 6) if rounded else one.score,
            one.num_queries,
            one.raw_output.tolist(),
        )
        for one in results
    ], over


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("budget", [None, 5])
@pytest.mark.parametrize("truth", [0, 1, 2])
def test_results_are_those_of_stock_with_rounded_scores(kind: int, budget: int | None, truth: int) -> None:
    options = {} if budget is None else {"query_budget": budget}
    stock_model, lean_model = Model(), Model()
    stock, quick = goals(stock_model, **options)[kind], lean(goals(lean_model, **options)[kind])
    texts = [lean_text_class(load_textattack())(text) for text in TEXTS]
    for goal in (stock, quick):
        goal.init_attack_example(texts[0], truth)
    first = [goal.init_attack_example(texts[0], truth)[0].goal_status for goal in (stock, quick)]
    assert first[0] == first[1]
    for start in (0, 3):
        one, two = stock.get_results(texts[start : start + 4]), quick.get_results(texts[start : start + 4])
        assert seen(two, rounded=False) == seen(one, rounded=True)
    assert quick.num_queries == stock.num_queries


def test_a_text_is_asked_once_and_charged_each_time() -> None:
    model = Model()
    goal = lean(goals(model)[0])
    texts = [lean_text_class(load_textattack())(text) for text in TEXTS]
    goal.init_attack_example(texts[0], 0)
    goal.get_results(texts)
    assert goal.num_queries == 1 + len(TEXTS)
    assert sorted(model.asked) == sorted(set(TEXTS))
    goal.clear_cache()
    goal.get_results(texts[:1])
    assert model.asked[-1] == TEXTS[0]


def test_scores_closer_than_the_tie_rule_are_equal() -> None:
    model = Model()
    goal = lean(goals(model)[0])
    goal.ground_truth_output, goal.num_queries = 0, 0
    rows = torch.tensor([[0.5, 0.25, 0.25], [0.5 + 1e-7, 0.25, 0.25 - 1e-7]])
    goal._call_model_uncached = lambda texts: rows
    texts = [lean_text_class(load_textattack())(text) for text in TEXTS[:2]]
    results, _ = goal.get_results(texts)
    assert results[0].score == results[1].score
    assert results[0].raw_output.tolist() != results[1].raw_output.tolist()


def test_a_goal_of_another_kind_is_rounded_only() -> None:
    class Other(load_textattack().goal_functions.UntargetedClassification):  # type: ignore[misc]
        pass

    goal = Other(Model())
    lean(goal)
    text = lean_text_class(load_textattack())("a good film")
    goal.init_attack_example(text, 0)
    (result,), _ = goal.get_results([text])
    assert result.score == round(result.score, 6)


def test_a_target_that_is_no_class_is_refused_as_in_stock() -> None:
    goal = lean(load_textattack().goal_functions.TargetedClassification(Model(), target_class=5))
    with pytest.raises(ValueError, match="target class set to 5 with 3 classes"):
        goal.init_attack_example(lean_text_class(load_textattack())("a"), 0)
