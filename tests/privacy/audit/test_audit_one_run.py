from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
from scipy.optimize import brentq, linprog
from scipy.special import ndtr, ndtri

from harness.errors import UsageError
from privacy.audit import Bound, Guesses, alarm, audit_independent, audit_one_run, ceiling
from privacy.audit.gaussian import gaussian_delta, gaussian_epsilon
from privacy.audit.one_run import gaussian_excluded, lower_bound, p_values
from tests.privacy.accounting_reference import gaussian_delta as reference_delta

DELTA = 1e-5
TRUE = (1.0, 3.0, 8.0)


@cache
def mu_of(epsilon: float) -> float:
    return float(brentq(lambda mu: gaussian_epsilon(mu, DELTA) - epsilon, 1e-3, 20.0))


def ideal(epsilon: float, canaries: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a perfect signal: N(mu, 1) where the canary was in, N(0, 1) where not."""
    rng = np.random.default_rng(seed)
    coins = rng.random(canaries) < 0.5
    return rng.normal(size=canaries) + mu_of(epsilon) * coins, coins


def reference_p(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    """The theorem's formula term by term, with binomial coefficients as whole numbers."""
    q = math.exp(epsilon) / (1 + math.exp(epsilon))

    def chance(k: int) -> float:
        return math.comb(r, k) * q**k * (1 - q) ** (r - k)

    tail = sum(chance(k) for k in range(v, r + 1))
    windows = [sum(chance(k) for k in range(v - i, v)) / i for i in range(1, v + 1)]
    return min(1.0, tail + 2 * m * delta * max(windows, default=0.0))


@pytest.mark.parametrize(("m", "r", "v"), [(1, 1, 1), (10, 4, 0), (40, 20, 17), (100, 100, 60), (60, 30, 30)])
@pytest.mark.parametrize("delta", [0.0, 1e-5, 1e-2, 0.5])
def test_p_is_the_theorems(m: int, r: int, v: int, delta: float) -> None:
    epsilons = np.array([0.0, 0.3, 1.0, 4.0])
    expected = [reference_p(m, r, v, float(epsilon), delta) for epsilon in epsilons]
    assert p_values(m, r, v, epsilons, delta) == pytest.approx(expected, rel=1e-9)


def test_p_bounds_randomised_response_and_is_reached_by_it() -> None:
    """Under randomised response, the worst epsilon-DP mechanism, all guesses are right with chance q by themselves."""
    rng, epsilon, m = np.random.default_rng(3), 1.2, 60
    right = rng.binomial(m, math.exp(epsilon) / (1 + math.exp(epsilon)), size=200_000)
    for v in (46, 50, 54):
        assert p_values(m, m, v, np.array([epsilon]), 0.0)[0] == pytest.approx((right >= v).mean(), abs=0.003)


def test_p_grows_with_epsilon_up_to_where_the_search_ends() -> None:
    for m, r, v in itertools.product((200, 2000), (20, 200), (0.6, 0.8, 1.0)):
        p = p_values(m, r, round(v * r), np.linspace(0.0, 12.0, 400), DELTA)
        below = p[: int(np.argmax(p > 0.05)) or len(p)]
        assert (np.diff(below) >= -1e-15).all()


def test_the_bound_ends_where_p_reaches_the_error() -> None:
    lower = lower_bound(Guesses(1000, 50, 50, 80), DELTA, 0.05)
    assert reference_p(1000, 100, 80, lower, DELTA) <= 0.05 < reference_p(1000, 100, 80, lower + 1e-4, DELTA)


def test_published_ceilings() -> None:
    """Of the harness' own facts: all guesses right at delta 1e-5, 95 %."""
    found = [round(ceiling(m, DELTA), 2) for m in (100, 250, 1000, 5000)]
    assert found == [3.49, 4.41, 5.78, 7.28]
    assert ceiling(1000, DELTA, tried=10) < ceiling(1000, DELTA)


def test_an_ideal_gaussian_signal_gives_the_known_medians() -> None:
    """Medians of 20 runs as tabulated elsewhere; two medians of 20 differ by about a third of the runs' spread."""
    table = {
        (1.0, 1000): (0.17, 0.13, 0.0),
        (1.0, 5000): (0.37, 0.38, 0.50),
        (3.0, 1000): (1.04, 1.36, 1.62),
        (3.0, 5000): (1.30, 1.58, 2.37),
        (8.0, 1000): (2.86, 3.86, 5.96),
        (8.0, 5000): (3.54, 4.44, 7.08),
    }
    for (epsilon, m), known in table.items():
        part, limits = m // 20, list(np.linspace(-3, 3, 50) + mu_of(epsilon) / 2)
        runs = []
        for seed in range(20):
            scores, coins = ideal(epsilon, m, seed)
            runs.append(
                (
                    audit_one_run(scores, coins, [(part, part)], DELTA).lower,
                    audit_one_run(scores, coins, [(2 * part, 0)], DELTA, bound=Bound.ONE_RUN_GAUSSIAN).lower,
                    audit_independent(scores, coins, limits, DELTA, gaussian=True, independent=True).lower,
                )
            )
        medians, spreads = np.median(runs, axis=0), np.std(runs, axis=0)
        assert (np.abs(medians - known) <= spreads + 0.02).all(), (epsilon, m, medians, spreads)


@pytest.mark.parametrize("bound", [Bound.ONE_RUN, Bound.ONE_RUN_GAUSSIAN])
def test_the_bound_lies_above_the_truth_in_at_most_a_twentieth_of_runs(bound: Bound) -> None:
    for epsilon in TRUE:
        lowers = [
            audit_one_run(*ideal(epsilon, 400, seed), [(20, 20), (100, 100), (200, 200)], DELTA, bound=bound).lower
            for seed in range(1000)
        ]
        assert (np.array(lowers) > epsilon).sum() <= 50
        assert np.max(lowers) > 0.05


def test_coverage_is_nearly_used_up_by_randomised_response() -> None:
    """The mechanism that the bound is tight for: no fewer errors than half of what is allowed, no more than allowed."""
    rng, epsilon, m = np.random.default_rng(5), 1.0, 300
    right = rng.binomial(m, math.exp(epsilon) / (1 + math.exp(epsilon)), size=1000)
    wrong = np.mean([lower_bound(Guesses(m, m, 0, int(v)), 0.0, 0.05) > epsilon for v in right])
    assert 0.02 < wrong <= 0.065  # 1000 draws of 0.05 reach 0.065 once in 60


def test_trying_many_counts_without_correction_would_err_more() -> None:
    scores, coins = ideal(3.0, 1000, 1)
    pairs = [(k, k) for k in (10, 25, 50, 100, 200)]
    each = [audit_one_run(scores, coins, [pair], DELTA).lower for pair in pairs]
    together = audit_one_run(scores, coins, pairs, DELTA)
    assert together.tried == 5
    assert together.lower < max(each)
    assert (together.plus, together.minus) in pairs
    assert audit_one_run(scores, coins, [pairs[2]] * 3, DELTA).tried == 1  # the same pair is one try


def _least_chance(m: int, r: int, v: int, mu: float, error: float) -> float:
    """The least that all chances sum to when `error` of them lies at v or above: a linear programme over p_0 .. p_r.

    The curve h >= f(hit) is met by its tangents, so the optimum lies a little below the truth.
    """
    counts = np.arange(r + 1)
    rows, limits = [], []
    hits = ndtr(np.linspace(-6, 6, 240))
    for i in range(v + 1):
        hit = np.where(counts >= i + 1, counts, 0) / m
        miss = np.where(counts >= i, r - counts, 0) / m
        for x in hits:
            value = ndtr(ndtri(x) - mu)
            slope = math.exp(mu * ndtri(x) - mu**2 / 2)
            rows.append(slope * hit - miss)
            limits.append(slope * x - value)
    tail = (counts >= v).astype(float)
    solved = linprog(np.ones(r + 1), np.array(rows), np.array(limits), tail[None, :], [error], method="highs")
    return float(solved.fun) if solved.status == 0 else math.inf


@pytest.mark.parametrize(("m", "r", "v"), [(8, 8, 7), (20, 10, 9), (12, 12, 12)])
def test_the_curves_recursion_agrees_with_a_linear_programme(m: int, r: int, v: int) -> None:
    mus = np.linspace(0.05, 4.0, 6)
    expected = [_least_chance(m, r, v, float(mu), 0.05) > 1 for mu in mus]
    assert gaussian_excluded(m, r, v, mus, 0.05).tolist() == expected
    assert 0 < sum(expected) < len(expected)


@pytest.mark.parametrize("mu", [0.1, 1.0, 4.0])
def test_the_gaussian_curve_agrees_with_the_accountants(mu: float) -> None:
    for epsilon in (0.0, 0.5, 3.0, 12.0):
        assert gaussian_delta(mu, epsilon) == pytest.approx(reference_delta(1 / mu, epsilon), abs=1e-13)
    assert gaussian_delta(mu, gaussian_epsilon(mu, 1e-6)) == pytest.approx(1e-6, rel=1e-6)


def test_edges() -> None:
    scores, coins = ideal(3.0, 50, 0)
    none = audit_one_run(scores, coins, [(0, 0)], DELTA)
    assert (none.lower, none.guesses, none.heuristic, none.assumes) == (0.0, 0, False, "")
    assert audit_one_run([], [], [(0, 0)], DELTA).lower == 0.0 == audit_one_run([], [], [(0, 0)], DELTA).ceiling
    assert audit_one_run(scores, coins, [(5, 5)], DELTA).ceiling == pytest.approx(2.783, abs=1e-3)  # below 100 canaries
    pure = lower_bound(Guesses(1000, 100, 100, 190), 0.0, 0.05)
    assert lower_bound(Guesses(1000, 100, 100, 190), 1e-3, 0.05) < lower_bound(Guesses(1000, 100, 100, 190), 1e-5, 0.05)
    assert lower_bound(Guesses(1000, 100, 100, 190), 1e-5, 0.05) < pure < math.inf
    assert lower_bound(Guesses(100, 50, 50, 55), 0.3, 0.05) == 0.0  # delta beyond 1 / m explains it
    with pytest.raises(UsageError, match="needs a delta above 0"):
        audit_one_run(scores, coins, [(5, 5)], 0.0, bound=Bound.ONE_RUN_GAUSSIAN)
    for bound in (Bound.ONE_RUN, Bound.ONE_RUN_GAUSSIAN):
        assert lower_bound(Guesses(100, 50, 50, 45), DELTA, 0.05, bound) == 0.0  # fewer right than by chance


def test_ties_count_against_the_auditor_whatever_their_order() -> None:
    coins = np.arange(100) % 2 == 0
    for order in (np.argsort(coins), np.argsort(~coins)):
        found = audit_one_run(np.zeros(100), coins[order], [(30, 30)], DELTA)
        assert (found.right, found.lower) == (0, 0.0)


def test_alarm() -> None:
    assert alarm(3.1, 3.0)
    assert not alarm(3.0, 3.0)
    assert not alarm(3.0, math.inf)
    with pytest.raises(ValueError, match="not two epsilons"):
        alarm(math.nan, 1.0)


def test_noise_divided_by_ten_is_an_alarm() -> None:
    rng = np.random.default_rng(0)
    coins = rng.random(1000) < 0.5
    scores = rng.normal(size=1000) / 10 + mu_of(3.0) * coins
    assert alarm(audit_one_run(scores, coins, [(50, 50)], DELTA).lower, 3.0)


@pytest.mark.parametrize(
    ("scores", "coins", "pairs", "delta", "confidence", "says"),
    [
        ([1.0], [1, 0], [(1, 0)], DELTA, 0.95, "one coin for each score"),
        ([math.nan, 1.0], [1, 0], [(1, 0)], DELTA, 0.95, "1 of 2 canaries have no score"),
        ([2.0, 1.0], [1, 2], [(1, 0)], DELTA, 0.95, "neither 0 nor 1"),
        ([2.0, 1.0], [1, 0], [(2, 1)], DELTA, 0.95, "about 2 canaries"),
        ([2.0, 1.0], [1, 0], [], DELTA, 0.95, "no numbers of guesses"),
        ([2.0, 1.0], [1, 0], [(1, 0)], 1.0, 0.95, "delta of the audit is 1.0"),
        ([2.0, 1.0], [1, 0], [(1, 0)], DELTA, 1.0, "confidence of the audit is 1.0"),
    ],
)
def test_bad_input_is_one_sentence(
    scores: list[float], coins: list[int], pairs: list[tuple[int, int]], delta: float, confidence: float, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        audit_one_run(scores, coins, pairs, delta, confidence)
