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


def test_seeds_alone_are_a_t_interval_of_their_means() -> None:
    """Examples that hardly differ leave the seeds: means 0.2, 0.5 and 0.8."""
    values = np.array([[0.2], [0.5], [0.8]]) + np.zeros((3, 4000))
    half = stats.t.ppf(0.985, 2) * 0.3 / math.sqrt(3)
    found = two_way(values, bounds=(-9.0, 9.0))
    assert found.value == pytest.approx(0.5)
    assert ends(found) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-3)
    assert found.note == ""


def test_examples_alone_are_a_share() -> None:
    values = np.tile(np.arange(60) < 54, (3, 1)).astype(float)
    exact = stats.binomtest(54, 60).proportion_ci(method="exact")
    assert ends(two_way(values, bounds=(0.0, 1.0))) == pytest.approx((exact.low, exact.high), abs=0.01)


def test_both_add_up_in_squares() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 1)) + rng.normal(size=(1, 400)) + rng.normal(size=(3, 400))
    t = stats.t.ppf(0.985, 2) * values.mean(axis=1).std(ddof=1) / math.sqrt(3)
    examples = ends(two_way([values.mean(axis=0)]))
    low, high = ends(two_way(values))
    assert values.mean() - low == pytest.approx(math.hypot(t, values.mean() - examples[0]))
    assert high - values.mean() == pytest.approx(math.hypot(t, examples[1] - values.mean()))


def test_a_difference_has_the_seeds_of_both_with_the_fewer_degrees_of_freedom() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.random((2, 300)), rng.random((3, 300))
    variance = sum(table.mean(axis=1).var(ddof=1) / len(table) for table in (first, second))
    t = stats.t.ppf(0.985, 1) * math.sqrt(variance)
    found = two_way_difference(first, second, bounds=(-1.0, 1.0))
    examples = ends(two_way_difference(first[:1], second[:1], bounds=(-1.0, 1.0)))
    assert found.value == pytest.approx(first.mean() - second.mean())
    low, high = ends(found)
    assert high - low > 2 * t
    assert examples[0] < examples[1]


def test_one_seed_is_about_the_examples_and_says_so() -> None:
    first, second = np.random.default_rng(1).normal(size=(2, 400))
    estimate = two_way([first], level=0.95)
    assert estimate.note == ONE_SEED
    expected = tuple(stats.ttest_1samp(first, 0).confidence_interval(0.95))
    assert ends(estimate) == pytest.approx(expected, abs=0.05)
    assert two_way_difference([first], [second]).note == ONE_SEED
    assert two_way_difference([first, second], [second]).note == ONE_SEED


def test_few_examples_without_bounds_have_no_interval() -> None:
    estimate = two_way(np.random.default_rng(0).normal(size=(3, 40)))
    assert (estimate.interval, estimate.note) == (None, "too few examples, or all alike: no interval")


def test_one_example_has_no_interval() -> None:
    estimate = two_way([[1], [2]])
    assert (estimate.value, estimate.interval, estimate.note) == (1.5, None, "one example: no interval")


def test_equal_values_have_an_interval_with_width() -> None:
    assert ends(two_way(np.ones((2, 30)), bounds=(0.0, 1.0))) == pytest.approx((0.025 ** (1 / 30), 1), abs=0.005)
    assert two_way(np.ones((2, 300))).interval is None


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
        low, high = ends(two_way(right, bounds=(0.0, 1.0)))
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
