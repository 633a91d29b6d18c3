"""Lower bounds on epsilon: against sums written out, published ceilings, and mechanisms whose epsilon is known."""

from __future__ import annotations

import math
from math import comb

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from privacy.audit import best_guesses, ceiling, clopper_pearson_bound, one_run_bound
from privacy.audit.one_run import p_value


def written_out(epsilon: float, m: int, r: int, v: int, delta: float) -> float:
    """The p value of theorem 5.2 by sums over every count."""
    q = math.exp(epsilon) / (1 + math.exp(epsilon))
    mass = [comb(r, k) * q**k * (1 - q) ** (r - k) for k in range(r + 1)]
    extra = max((sum(mass[max(0, v - i) : v]) / i for i in range(1, v + 1)), default=0.0)
    return min(1.0, sum(mass[v:]) + 2 * m * delta * extra)


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 2.0, 5.0])
@pytest.mark.parametrize(("m", "r", "v"), [(10, 10, 10), (100, 20, 15), (40, 30, 16), (12, 5, 1)])
@pytest.mark.parametrize("delta", [0.0, 1e-5, 1e-2])
def test_p_values_are_those_of_the_theorem(epsilon: float, m: int, r: int, v: int, delta: float) -> None:
    assert p_value(epsilon, m, r, v, delta) == pytest.approx(written_out(epsilon, m, r, v, delta), rel=1e-9)


def test_the_bound_is_where_the_p_value_crosses() -> None:
    bound = one_run_bound(canaries=1000, guesses=100, right=90, delta=1e-5)
    crossing = brentq(lambda epsilon: written_out(epsilon, 1000, 100, 90, 1e-5) - 0.05, 0, 10)
    assert bound.epsilon == pytest.approx(crossing, abs=1e-9)


@pytest.mark.parametrize(("canaries", "most"), [(100, 3.49), (250, 4.41), (1000, 5.78), (5000, 7.28)])
def test_ceilings_where_every_guess_is_right(canaries: int, most: float) -> None:
    all_right = one_run_bound(canaries=canaries, guesses=canaries, right=canaries, delta=1e-5)
    assert all_right.epsilon == pytest.approx(most, abs=0.01)
    assert all_right.ceiling >= all_right.epsilon
    assert ceiling(canaries, delta=0) == pytest.approx(-math.log(0.05 ** (-1 / canaries) - 1), abs=1e-9)


def test_nothing_is_proven_by_coins_or_no_guesses() -> None:
    assert one_run_bound(canaries=500, guesses=100, right=52, delta=1e-5).epsilon == 0
    assert one_run_bound(canaries=500, guesses=0, right=0, delta=1e-5).epsilon == 0
    assert one_run_bound(canaries=500, guesses=100, right=100, delta=0.5).epsilon == 0  # delta allows anything


@pytest.mark.parametrize(
    "counts",
    [
        {"canaries": 10, "guesses": 11, "right": 1},
        {"canaries": 10, "guesses": 5, "right": 6},
        {"canaries": 10, "guesses": 5, "right": -1},
    ],
)
def test_counts_that_cannot_be_are_refused(counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        one_run_bound(**counts, delta=1e-5)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Epsilon of one Gaussian release at sensitivity over noise `mu` (Balle & Wang 2018, theorem 8)."""

    def gap(epsilon: float) -> float:
        return float(norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu)) - delta

    return float(brentq(gap, 0, 200))


def mu_of(epsilon: float, delta: float) -> float:
    return float(brentq(lambda mu: gaussian_epsilon(mu, delta) - epsilon, 0.05, 8))


def attack(mu: float, m: int, share: float, rng: np.random.Generator) -> tuple[int, int]:
    """(guesses, right) of an attack that sees each canary's own Gaussian release: the best there is."""
    planted = rng.random(m) < 0.5
    scores = rng.normal(planted * mu, 1.0)
    count = int(share * m)
    guesses = best_guesses(scores, count, count)
    return guesses.count, guesses.right(planted)


@pytest.mark.parametrize(
    ("epsilon", "m", "published"), [(1, 1000, 0.17), (1, 5000, 0.37), (3, 1000, 1.04), (3, 5000, 1.30), (8, 1000, 2.86)]
)
def test_an_ideal_mechanism_gives_the_known_medians(epsilon: float, m: int, published: float) -> None:
    rng = np.random.default_rng(0)
    mu = mu_of(epsilon, 1e-5)
    counts = [attack(mu, m, 0.05, rng) for _ in range(40)]
    found = [one_run_bound(canaries=m, guesses=r, right=v, delta=1e-5).epsilon for r, v in counts]
    low, high = np.quantile(found, [0.1, 0.9])
    assert low - 0.05 <= published <= high + 0.05, (low, np.median(found), high)


@pytest.mark.parametrize("epsilon", [1.0, 3.0, 8.0])
def test_the_bound_exceeds_the_truth_in_at_most_one_run_of_twenty(epsilon: float) -> None:
    rng = np.random.default_rng(1)
    mu = mu_of(epsilon, 1e-5)
    counts = (attack(mu, 500, 0.1, rng) for _ in range(1000))
    # the bound is above the truth where the truth itself is ruled out: p values grow with epsilon
    above = sum(p_value(epsilon, 500, guesses, right, 1e-5) <= 0.05 for guesses, right in counts)
    assert above <= 50


@pytest.mark.parametrize("right", [60, 80, 100])
def test_p_values_grow_with_epsilon(right: int) -> None:
    values = [p_value(epsilon, 500, 100, right, 1e-5) for epsilon in np.linspace(0, 10, 200)]
    assert np.all(np.diff(values) >= -1e-12)


def test_guesses_are_of_the_ends_of_the_scores() -> None:
    guesses = best_guesses(np.array([3.0, 1.0, 2.0, 2.0, 9.0]), 2, 1)
    assert guesses.signs.tolist() == [1, -1, 0, 0, 1]
    assert (guesses.count, guesses.right(np.array([True, True, True, True, False]))) == (3, 1)
    with pytest.raises(ValueError, match="guesses of"):
        best_guesses(np.zeros(3), 2, 2)


def test_clopper_pearson_covers_independent_runs() -> None:
    """Randomised response of epsilon 2: every canary is a run of its own, its answer true with e^2 / (1 + e^2)."""
    rng = np.random.default_rng(2)
    true = math.exp(2) / (1 + math.exp(2))
    above = 0
    for _ in range(1000):
        hits, alarms = rng.binomial(300, true), rng.binomial(300, 1 - true)
        bound = clopper_pearson_bound(
            planted=300, others=300, true_positives=hits, false_positives=alarms, delta=0.0, independent=True
        )
        above += bound.epsilon > 2
    assert above <= 50


def test_clopper_pearson_by_its_formula() -> None:
    bound = clopper_pearson_bound(planted=100, others=200, true_positives=100, false_positives=0, delta=1e-5)
    fnr, fpr = 1 - 0.025 ** (1 / 100), 1 - 0.025 ** (1 / 200)  # upper ends at no event
    assert bound.epsilon == pytest.approx(math.log((1 - 1e-5 - fnr) / fpr))
    assert bound.epsilon == bound.ceiling
    assert bound.heuristic
    assert clopper_pearson_bound(planted=9, others=9, true_positives=4, false_positives=5, delta=0).epsilon == 0
    with pytest.raises(ValueError, match="cannot be"):
        clopper_pearson_bound(planted=0, others=9, true_positives=0, false_positives=5, delta=0)
