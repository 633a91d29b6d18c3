"""Formulas against scikit-learn, loops over the definition, and known values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, f1_score, log_loss

from harness.stats.confidence import BINS, equal_mass
from suites.quality.classification.calibration import brier_terms, calibration_error, negative_log_likelihood
from suites.quality.classification.f1 import macro_f1

RNG = np.random.default_rng(0)


def random_case(classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    probabilities = RNG.dirichlet(np.ones(classes), size=200)
    label = RNG.integers(0, classes, size=200)
    return probabilities, label, probabilities.argmax(axis=1)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_macro_f1_is_that_of_scikit_learn(classes: int) -> None:
    _, label, predicted = random_case(classes)
    value, interval = macro_f1(label, predicted, classes)
    assert value == pytest.approx(f1_score(label, predicted, average="macro"), abs=1e-12)
    assert interval.low < value < interval.high


@pytest.mark.parametrize("n", [30, 60, 200])
def test_macro_f1_without_an_error_rests_on_the_texts_of_each_class(n: int) -> None:
    """Not [1, 1]: a class of n / 2 texts, all right, has a share of at least 0.025^(2/n)."""
    label = np.arange(n) % 2
    value, interval = macro_f1(label, label, 2)
    least = 0.025 ** (2 / n)
    assert (value, interval.low, interval.high) == pytest.approx((1.0, 2 * least / (1 + least), 1.0))
    assert interval.low < 0.99


def test_a_class_that_was_not_seen_may_have_any_f1_while_it_may_be_one_in_a_hundred() -> None:
    label = np.zeros(60, dtype=np.int64)
    assert macro_f1(label, label, 2)[0] == 1.0
    assert macro_f1(label, label, 2)[1].low < 0.5
    many = np.zeros(400, dtype=np.int64)
    assert macro_f1(many, many, 2)[1].low == pytest.approx(macro_f1(many, many, 1)[1].low)


@pytest.mark.parametrize("right", [0.98, 0.8])
def test_neither_side_of_macro_f1_errs_more_than_it_says(right: float) -> None:
    rng = np.random.default_rng(2)
    wrong = [0, 0]
    for _ in range(1500):
        label = rng.integers(0, 3, 60)
        predicted = np.where(rng.random(60) < right, label, (label + rng.integers(1, 3, 60)) % 3)
        interval = macro_f1(label, predicted, 3)[1]
        wrong[0] += interval.low > right
        wrong[1] += interval.high < right
    assert max(wrong) <= 0.0375 * 1500


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
    assert calibration_error(confidence, right).plug_in == pytest.approx(looped_ece(confidence, right))


def test_ece_bins_hold_their_upper_end() -> None:
    upper, above = 9 / BINS, math.nextafter(9 / BINS, 1)  # one bin, then two: errors add up instead of cancelling
    same = calibration_error(np.array([upper, upper]), np.array([True, False])).plug_in
    split = calibration_error(np.array([upper, above]), np.array([True, False])).plug_in
    assert same == pytest.approx(abs(0.5 - 0.6))
    assert split == pytest.approx((0.4 + 0.6) / 2)


def test_a_sure_and_right_classifier_has_no_calibration_error_that_was_seen() -> None:
    found = calibration_error(np.ones(40), np.ones(40, dtype=bool))
    assert (found.plug_in, found.value, found.interval.low) == (0.0, 0.0, 0.0)
    assert found.interval.high == pytest.approx(1 - 0.025 ** (1 / 40), rel=0.05)  # as Clopper-Pearson at 0 of 40


def test_the_debiasing_is_what_kumar_and_others_draw() -> None:
    """Their estimator draws each bin's accuracy from a normal distribution and takes off what that adds."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 3000)
    right = rng.random(3000) < np.where(confidence > 0.8, confidence - 0.1, confidence)
    bins = np.digitize(confidence, np.linspace(0, 1, BINS + 1), right=True)
    kinds = np.unique(bins)
    counts = np.array([(bins == k).sum() for k in kinds])
    accuracy, mean = (np.array([each[bins == k].mean() for k in kinds]) for each in (right, confidence))
    spread = np.sqrt(accuracy * (1 - accuracy) / counts)
    plug_in = np.abs(accuracy - mean) @ counts / 3000
    drawn = np.abs(rng.normal(accuracy, spread, (20_000, len(kinds))) - mean) @ counts / 3000
    assert calibration_error(confidence, right).value == pytest.approx(plug_in - (drawn.mean() - plug_in), abs=5e-4)


@pytest.mark.parametrize(("n", "was"), [(30, 0.93), (60, 0.78), (100, 0.42)])
def test_a_calibrated_classifier_is_not_blocked(n: int, was: float) -> None:
    """By `max: 0.05`, which the percentile bootstrap of the plug-in blocked in `was` of all audits."""
    rng, blocked, off = np.random.default_rng(n), 0, []
    for _ in range(400):
        confidence = 0.5 + 0.5 * rng.random(n)
        found = calibration_error(confidence, rng.random(n) < confidence, draws=400)
        blocked += found.interval.low > 0.05
        off.append(found.plug_in - found.value)
        assert found.interval.low <= found.value <= found.interval.high
    assert blocked <= 0.0375 * 400 < was * 400
    assert np.mean(off) > 0.02  # the estimate is nearer to 0 than the plug-in


@pytest.mark.parametrize("n", [60, 200])
def test_neither_side_of_the_calibration_bound_errs_more_than_it_says(n: int) -> None:
    """0.1 too sure above 0.75 of [0.5, 1], in bins that 0.75 does not cut but once."""
    rng = np.random.default_rng(n)
    grid = 0.5 + 0.5 * (np.arange(200_000) + 0.5) / 200_000
    bins = np.digitize(grid, np.linspace(0, 1, BINS + 1), right=True)
    truth = np.abs(np.bincount(bins, np.where(grid > 0.75, 0.1, 0.0))).sum() / len(grid)
    wrong = [0, 0]
    for _ in range(600):
        confidence = 0.5 + 0.5 * rng.random(n)
        right = rng.random(n) < np.where(confidence > 0.75, confidence - 0.1, confidence)
        interval = calibration_error(confidence, right, draws=400).interval
        wrong[0] += interval.low > truth
        wrong[1] += interval.high < truth
    assert max(wrong) <= 0.0375 * 600


def test_bins_of_equal_mass_hold_as_many_texts_each() -> None:
    confidence = np.random.default_rng(1).permutation(np.linspace(0.5, 1, 150))
    assert np.bincount(equal_mass(confidence)).tolist() == [10] * BINS
    same = equal_mass(np.array([0.7] * 20 + [0.9] * 10))
    assert len(set(same[:20])) == len(set(same[20:])) == 1  # equals are never parted
    assert same[0] < same[-1]


def test_the_error_over_equal_masses_is_that_of_a_loop_over_sorted_texts() -> None:
    rng = np.random.default_rng(2)
    confidence = rng.random(300) * 0.5 + 0.5
    right = rng.random(300) < confidence**2
    order = np.argsort(confidence)
    parts = [order[start : start + 20] for start in range(0, 300, 20)]
    expected = sum(20 / 300 * abs(right[part].mean() - confidence[part].mean()) for part in parts)
    found = calibration_error(confidence, right, equal_mass)
    assert found.plug_in == pytest.approx(expected)
    assert found.interval.low <= found.value <= found.plug_in


def test_four_texts_by_hand_for_brier_and_calibration_error() -> None:
    """Confidences 0.9, 0.9 (one right), 0.6, 0.6 (both right): gaps 0.4 and 0.4 in halves of the texts."""
    found = calibration_error(np.array([0.9, 0.9, 0.6, 0.6]), np.array([True, False, True, True]))
    assert found.plug_in == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    assert brier_terms(np.array([[0.9, 0.1]]), np.array([1])) == pytest.approx([0.9**2 + 0.9**2])
