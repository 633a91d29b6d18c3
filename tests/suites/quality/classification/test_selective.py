"""Risk, coverage and the area between them against loops over the definition and numbers worked out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from harness.stats.confidence import risk_coverage
from suites.quality.classification.selective import answered_at, aurc_terms, most_a_text_adds

SURE = np.array([0.9, 0.8, 0.7, 0.6])
RIGHT = np.array([True, False, True, False])


def test_four_texts_by_hand() -> None:
    curve = risk_coverage(SURE, RIGHT)
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert aurc_terms(SURE, RIGHT).mean() == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def loop(confidence: np.ndarray, right: np.ndarray) -> float:
    order = sorted(range(len(right)), key=lambda at: -confidence[at])
    return float(np.mean([np.mean([not right[at] for at in order[: k + 1]]) for k in range(len(order))]))


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_the_mean_risk_over_all_prefixes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence, right = rng.random(50), rng.random(50) < 0.7
    assert aurc_terms(confidence, right).mean() == pytest.approx(loop(confidence, right))
    assert aurc_terms(confidence, right).max() <= most_a_text_adds(50) + 1e-9


def test_equals_count_as_the_mean_over_their_orders() -> None:
    confidence, right = np.array([0.9, 0.5, 0.5, 0.5, 0.2]), np.array([True, False, True, True, False])
    areas = []
    for order in itertools.permutations([1, 2, 3]):
        places = [0, *order, 4]
        areas.append(loop(-np.arange(5.0), right[places]))
    assert aurc_terms(confidence, right).mean() == pytest.approx(np.mean(areas))


def test_terms_follow_their_texts_whatever_the_order() -> None:
    rng = np.random.default_rng(3)
    confidence, right = rng.random(30), rng.random(30) < 0.5
    order = rng.permutation(30)
    assert aurc_terms(confidence[order], right[order]) == pytest.approx(aurc_terms(confidence, right)[order])


def test_at_a_coverage_the_surest_are_answered_and_equals_with_them() -> None:
    assert answered_at(SURE, RIGHT, 0.5) == (1, 2)
    assert answered_at(SURE, RIGHT, 0.51) == (2, 3)
    assert answered_at(np.array([0.9, 0.5, 0.5, 0.5]), RIGHT, 0.5) == (2, 4)
    ten = np.linspace(1, 0.1, 10)
    assert [answered_at(ten, ten > 0.25, coverage)[1] for coverage in (0.8, 0.9, 0.95, 1.0)] == [8, 9, 10, 10]
