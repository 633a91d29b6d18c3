"""Formulas against scikit-learn, loops over the definition, and known values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, f1_score, log_loss

from suites.quality.calibration import (
    BINS,
    brier_terms,
    expected_calibration_error,
    macro_f1,
    negative_log_likelihood,
)

RNG = np.random.default_rng(0)
ONE = np.ones((1, 200))


def random_case(classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    probabilities = RNG.dirichlet(np.ones(classes), size=200)
    label = RNG.integers(0, classes, size=200)
    return probabilities, label, probabilities.argmax(axis=1)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_macro_f1_is_that_of_scikit_learn(classes: int) -> None:
    _, label, predicted = random_case(classes)
    assert macro_f1(label, predicted)(ONE)[0] == pytest.approx(f1_score(label, predicted, average="macro"), abs=1e-12)


def test_macro_f1_of_a_draw_is_that_of_the_drawn_rows() -> None:
    label, predicted = np.array([0, 0, 1, 2, 1]), np.array([0, 1, 1, 1, 1])
    weights = np.array([[2.0, 1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 1.0, 3.0, 1.0]])  # class 2, then class 0, is not drawn
    drawn = [np.repeat(np.arange(5), row.astype(int)) for row in weights]
    expected = [f1_score(label[rows], predicted[rows], average="macro") for rows in drawn]
    assert macro_f1(label, predicted)(weights) == pytest.approx(expected, abs=1e-12)


def test_brier_of_two_classes_is_twice_the_one_sided_score() -> None:
    probabilities, label, _ = random_case(2)
    one_sided = brier_score_loss(label, probabilities[:, 1])
    assert brier_terms(probabilities, label).mean() == pytest.approx(2 * one_sided, abs=1e-12)


def test_brier_spans_zero_to_two() -> None:
    sure = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    assert brier_terms(sure, np.array([0, 1, 2])) == pytest.approx([0.0, 2.0, 2 / 3])


def test_nll_is_that_of_scikit_learn_and_stays_finite() -> None:
    logits = RNG.normal(size=(50, 3))
    label = RNG.integers(0, 3, size=50)
    exp = np.exp(logits)
    mine = [negative_log_likelihood(row, int(y)) for row, y in zip(logits, label, strict=True)]
    assert np.mean(mine) == pytest.approx(log_loss(label, exp / exp.sum(1, keepdims=True), labels=[0, 1, 2]), abs=1e-9)
    assert negative_log_likelihood(np.array([0.0, 2000.0]), 0) == 2000.0
    assert negative_log_likelihood(np.array([0.0, 0.0]), 1) == pytest.approx(math.log(2))


def looped_ece(confidence: np.ndarray, right: np.ndarray) -> float:
    total = 0.0
    for k in range(BINS):
        low, high = k / BINS, (k + 1) / BINS
        inside = [i for i in range(len(confidence)) if low < confidence[i] <= high]
        if inside:
            gap = abs(sum(map(float, right[inside])) / len(inside) - sum(confidence[inside]) / len(inside))
            total += len(inside) / len(confidence) * gap
    return total


@pytest.mark.parametrize("classes", [2, 5])
def test_ece_is_that_of_a_loop_over_bins(classes: int) -> None:
    probabilities, label, predicted = random_case(classes)
    confidence, right = probabilities.max(axis=1), label == predicted
    assert expected_calibration_error(confidence, right)(ONE)[0] == pytest.approx(looped_ece(confidence, right))


def test_ece_of_a_draw_is_that_of_the_drawn_rows() -> None:
    confidence, right = RNG.uniform(0.5, 1, size=9), RNG.integers(0, 2, size=9).astype(bool)
    weights = RNG.integers(0, 3, size=(1, 9)).astype(float)
    rows = np.repeat(np.arange(9), weights[0].astype(int))
    mine = expected_calibration_error(confidence, right)(weights)[0]
    assert mine == pytest.approx(looped_ece(confidence[rows], right[rows]))


def test_ece_bins_hold_their_upper_end() -> None:
    upper, above = 9 / BINS, math.nextafter(9 / BINS, 1)  # one bin, then two: errors add up instead of cancelling
    same = expected_calibration_error(np.array([upper, upper]), np.array([True, False]))(np.ones((1, 2)))[0]
    split = expected_calibration_error(np.array([upper, above]), np.array([True, False]))(np.ones((1, 2)))[0]
    assert same == pytest.approx(abs(0.5 - 0.6))
    assert split == pytest.approx((0.4 + 0.6) / 2)


def test_a_sure_and_right_classifier_has_no_calibration_error() -> None:
    assert expected_calibration_error(np.ones(4), np.ones(4, dtype=bool))(np.ones((1, 4)))[0] == 0.0
