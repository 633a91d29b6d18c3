from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from privacy.frontier.two_way import ONE_SEED, Estimate, two_way, two_way_difference


def ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.interval is not None
    return estimate.interval.low, estimate.interval.high


def test_a_case_worked_by_hand() -> None:
    """Means 2 and 4 of the seeds, 1.5, 3 and 4.5 of the examples: MS_seed = 6, MS_example = 4.5, S n = 6."""
    estimate = two_way([[1, 2, 3], [2, 4, 6]])
    assert estimate.value == 3
    variance = 6 / 6 + 4.5 / 6
    assert estimate.freedom == pytest.approx(variance**2 / (1**2 / 1 + 0.75**2 / 2))
    half = stats.t.ppf(0.975, estimate.freedom) * math.sqrt(variance)
    assert ends(estimate) == pytest.approx((3 - half, 3 + half))
    assert estimate.note == ""


def test_a_difference_worked_by_hand() -> None:
    """Seed means 2, 4 less 1, 1, 4; example means (1.5, 3, 4.5) less (2, 2, 2)."""
    estimate = two_way_difference([[1, 2, 3], [2, 4, 6]], [[1, 1, 1], [1, 1, 1], [4, 4, 4]])
    parts: list[tuple[float, int]] = [(2 / 2, 1), (3 / 3, 2), (float(np.var([-0.5, 1, 2.5], ddof=1)) / 3, 2)]
    variance = sum(value for value, _ in parts)
    assert estimate.value == 1
    assert estimate.freedom == pytest.approx(variance**2 / sum(value**2 / freedom for value, freedom in parts))
    half = stats.t.ppf(0.975, estimate.freedom) * math.sqrt(variance)
    assert ends(estimate) == pytest.approx((1 - half, 1 + half))


def test_mean_squares_are_those_of_the_analysis_of_variance() -> None:
    values = np.random.default_rng(0).normal(size=(3, 5))
    grand = values.mean()
    ms_seed = sum(5 * (row.mean() - grand) ** 2 for row in values) / 2
    ms_example = sum(3 * (column.mean() - grand) ** 2 for column in values.T) / 4
    estimate = two_way(values)
    low, high = ends(estimate)
    assert estimate.freedom is not None
    standard_error = (high - low) / 2 / stats.t.ppf(0.975, estimate.freedom)
    assert standard_error**2 == pytest.approx((ms_seed + ms_example) / 15)


def test_one_seed_is_the_t_test_of_the_examples_and_says_so() -> None:
    first, second = np.random.default_rng(1).normal(size=(2, 40))
    estimate = two_way([first], level=0.9)
    assert estimate.note == ONE_SEED
    assert ends(estimate) == pytest.approx(tuple(stats.ttest_1samp(first, 0).confidence_interval(0.9)))
    paired = two_way_difference([first], [second])
    assert paired.note == ONE_SEED
    assert ends(paired) == pytest.approx(tuple(stats.ttest_rel(first, second).confidence_interval(0.95)))
    assert two_way_difference([first, second], [second]).note == ONE_SEED


def test_one_example_has_no_interval() -> None:
    estimate = two_way([[1], [2]])
    assert (estimate.value, estimate.interval, estimate.note) == (1.5, None, "one example: no interval")


def test_equal_values_have_an_interval_without_width() -> None:
    assert ends(two_way(np.ones((2, 3)))) == (1, 1)


@pytest.mark.parametrize("values", [[], [[]], [1, 2], [[1, math.nan]], [[[1]]]])
def test_what_is_no_full_table_is_refused(values: Any) -> None:
    with pytest.raises(ValueError, match="not a full table of seeds by examples"):
        two_way(values)


def test_other_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="3 and 2 examples: they must be the same ones"):
        two_way_difference([[1, 2, 3]], [[1, 2]])


GRIDS, SEEDS, EXAMPLES = 400, 3, 200
COMPONENTS = [(1.0, 1.0, 1.0), (0.05, 1.0, 1.0), (0.12, 1.0, 0.5), (0.02, 0.3, 1.0)]
"""Standard deviations of seed, example and e; from 'seeds are everything' to 'seeds hardly matter'."""


@pytest.mark.parametrize("components", COMPONENTS)
def test_coverage_of_a_mean(components: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(GRIDS):
        low, high = ends(two_way(0.7 + effects(rng, *components)))
        hits += low <= 0.7 <= high
    assert hits / GRIDS >= 0.93


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("components", COMPONENTS)
def test_coverage_of_a_difference(components: tuple[float, float, float], paired: bool) -> None:
    """The examples' difficulty is common to both; each side has its own seeds, and reacts to examples its own way."""
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(GRIDS):
        difficulty = 2 * rng.normal(size=(1, EXAMPLES))
        first, second = (difficulty + effects(rng, *components) for _ in range(2))
        estimate = two_way(first - 0.2 - second) if paired else two_way_difference(first - 0.2, second[:2])
        low, high = ends(estimate)
        hits += low <= -0.2 <= high
    assert hits / GRIDS >= 0.93


def test_coverage_of_right_and_wrong() -> None:
    """Answers are right with a probability that depends on seed and example; the truth is over all of either."""
    rng = np.random.default_rng(5)

    def chance(seeds: int, examples: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        margin = 1.5 + 0.2 * rng.normal(size=(seeds, 1)) + 1.5 * rng.normal(size=(1, examples))
        return np.asarray(1 / (1 + np.exp(-margin)))

    truth = float(chance(4000, 4000).mean())
    hits = 0
    for _ in range(GRIDS):
        right = rng.random((SEEDS, EXAMPLES)) < chance(SEEDS, EXAMPLES)
        low, high = ends(two_way(right))
        hits += low <= truth <= high
    assert hits / GRIDS >= 0.93


def test_a_bootstrap_over_three_seeds_would_not_do() -> None:
    """Why the interval is not a bootstrap: where seeds are everything, resampling three of them covers far less."""
    rng = np.random.default_rng(6)
    hits = 0
    for _ in range(GRIDS):
        means = rng.normal(size=SEEDS)
        draws = means[rng.integers(0, SEEDS, size=(500, SEEDS))].mean(axis=1)
        low, high = np.quantile(draws, [0.025, 0.975])
        hits += bool(low <= 0 <= high)
    assert hits / GRIDS < 0.85


def effects(
    rng: np.random.Generator, seed: float, example: float, e: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """[seeds, examples] with all three variance components."""
    return np.asarray(
        seed * rng.normal(size=(SEEDS, 1))
        + example * rng.normal(size=(1, EXAMPLES))
        + e * rng.normal(size=(SEEDS, EXAMPLES))
    )
