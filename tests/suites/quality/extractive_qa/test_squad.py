"""SQuAD's two scores by hand, and against transformers' port of the official script."""

from __future__ import annotations

import numpy as np
import pytest
from transformers.data.metrics import squad_metrics

from suites.quality.extractive_qa.squad import best, exact, f1, normalized


@pytest.mark.parametrize(
    ("text", "expected"),
    [("The  Cat's, a-n!", "cats"), ("an apple", "apple"), ("theatre", "theatre"), ("A.", ""), ("İ 1,000", "i̇ 1000")],
)
def test_normalised_by_hand(text: str, expected: str) -> None:
    assert normalized(text) == expected == squad_metrics.normalize_answer(text)


def test_scores_by_hand() -> None:
    assert exact("the Eiffel tower", "Eiffel Tower.") == 1.0
    assert f1("Eiffel tower in Paris", "the Eiffel Tower") == pytest.approx(2 * 2 / (4 + 2))
    assert f1("dog dog cat", "dog cat cat") == pytest.approx(2 * 2 / 6)
    assert (f1("", ""), f1("", "x"), f1("x", ""), f1("the", "a")) == (1.0, 0.0, 0.0, 1.0)
    assert best(f1, "red car", ["blue", "red bus"]) == pytest.approx(0.5)
    assert best(exact, "", []) == 1.0  # no answer, and none given
    assert best(exact, "the", ["the", "x"]) == 0.0  # an answer of an article alone does not count


def test_both_are_those_of_the_official_script() -> None:
    rng = np.random.default_rng(0)
    words = ["the", "A", "cat", "cat's", "Dog.", "dog", "1,000", "-", "über", ""]
    for _ in range(2000):
        mine, gold = (" ".join(words[at] for at in rng.integers(0, len(words), rng.integers(0, 5))) for _ in range(2))
        assert exact(mine, gold) == squad_metrics.compute_exact(gold, mine), (mine, gold)
        assert f1(mine, gold) == pytest.approx(squad_metrics.compute_f1(gold, mine)), (mine, gold)
