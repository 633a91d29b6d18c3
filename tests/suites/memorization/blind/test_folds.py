from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats.intervals import auc
from suites.memorization.blind.folds import auc_over_folds


def test_one_fold_is_the_plain_auc_with_delongs_variance() -> None:
    """Variance, before it is doubled, by the sums of DeLong et al. 1988, equations 3 to 5, pair by pair."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 17).astype(float), rng.integers(-2, 5, 12).astype(float)
    psi = [[1.0 if a > b else 0.5 if a == b else 0.0 for b in y] for a in x]
    value = sum(map(sum, psi)) / (len(x) * len(y))
    v10 = [sum(row) / len(y) for row in psi]
    v01 = [sum(row[j] for row in psi) / len(x) for j in range(len(y))]
    s10 = sum((v - value) ** 2 for v in v10) / (len(x) - 1)
    s01 = sum((v - value) ** 2 for v in v01) / (len(y) - 1)
    found, low, high = auc_over_folds([(x, y)])
    assert found == pytest.approx(value) == pytest.approx(auc(x, y))
    reach = 1.959963985 * math.sqrt(2 * (s10 / len(x) + s01 / len(y)))
    assert (low, high) == pytest.approx((value - reach, value + reach))


def test_folds_are_not_compared_with_one_another() -> None:
    value, _, _ = auc_over_folds([([2.0, 3.0], [1.0]), ([102.0, 99.0, 98.0], [100.0])])
    assert value == pytest.approx(3 / 5)


def test_scores_that_no_fold_trained_are_covered_with_room() -> None:
    rng, truth = np.random.default_rng(1), 0.6381631950841185  # Phi(0.5 / sqrt 2)
    inside = 0
    for _ in range(1000):
        folds = [(rng.normal(0.5, 1, 20) + shift, rng.normal(0, 1, 20) + shift) for shift in range(5)]
        _, low, high = auc_over_folds(folds)
        inside += low <= truth <= high
    assert 980 <= inside < 1000  # 1.96 times the root of 2 deviations: 0.994


def test_sides_without_scores_are_refused() -> None:
    bad: list[list[tuple[list[float], list[float]]]] = [
        [],
        [([1.0], [2.0])],
        [([1.0, 2.0], [])],
        [([math.nan, 1.0], [1.0, 2.0])],
    ]
    for folds in bad:
        with pytest.raises(ValueError, match="AUC needs"):
            auc_over_folds(folds)
