from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from harness.errors import UsageError
from privacy.accounting import Mechanism
from privacy.audit import Bound, audit_one_run
from privacy.audit.gaussian import gaussian_epsilon
from privacy.audit.own_curve import NOISE, TradeOff, audit_own_curve, hypotheses

DELTA = 1e-5
NOISE_OF_ONE_SUM = 1.2
COUNTS = [(50, 50), (100, 100), (100, 0)]


@pytest.fixture(scope="module")
def one_sum() -> tuple[TradeOff, ...]:
    """Of one noisy sum of everybody, which is a Gaussian mechanism."""
    return hypotheses([Mechanism(NOISE_OF_ONE_SUM, 1.0, 1)], DELTA)


def test_one_sum_has_the_curve_of_a_gaussian_and_never_above(one_sum: tuple[TradeOff, ...]) -> None:
    assert [curve.epsilon for curve in one_sum] == sorted(curve.epsilon for curve in one_sum)
    for curve, factor in zip(one_sum, NOISE, strict=True):
        mu = 1 / (factor * NOISE_OF_ONE_SUM)
        assert curve.epsilon == pytest.approx(gaussian_epsilon(mu, DELTA), rel=0.1, abs=0.02)
        true = np.array([0.01, 0.1, 0.4, 0.8, 0.99])
        exact = ndtr(ndtri(true) - mu)
        assert (curve.least_false(true) <= exact + 1e-6).all()  # allows more, so excludes less
        assert curve.least_false(true) == pytest.approx(exact, abs=0.02)


def test_an_epsilon_whose_power_is_no_number_bounds_as_a_large_one_does() -> None:
    true, deltas = np.array([0.0, 0.5, 1.0]), (0.5, 1e-9)
    found = TradeOff(1.0, (0.0, 800.0), deltas).least_false(true)
    assert found == pytest.approx([0.0, 0.0, 1 - 1e-9], abs=1e-12)
    assert found == pytest.approx(TradeOff(1.0, (0.0, 600.0), deltas).least_false(true), abs=1e-12)


def test_what_is_shown_is_that_of_the_gaussian_curve_down_to_the_next_noise(one_sum: tuple[TradeOff, ...]) -> None:
    ratio = max(b.epsilon / a.epsilon for a, b in pairwise(one_sum))
    shown = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        coins = rng.random(400) < 0.5
        scores = rng.normal(size=400) + 3.0 * coins
        ours = audit_own_curve(scores, coins, COUNTS, DELTA, 0.95, one_sum)
        gaussian = audit_one_run(scores, coins, COUNTS, DELTA, 0.95, Bound.ONE_RUN_GAUSSIAN)
        assert gaussian.lower / (1.15 * ratio) <= ours.lower <= 1.1 * gaussian.lower
        assert ours.lower <= ours.ceiling
        shown += ours.lower > 0
    assert shown == 8


def test_a_bound_above_the_truth_is_rare() -> None:
    """Sampled sums: scores at the optimum for the composition that was run."""
    rate, steps, noise = 0.3, 4, 1.0
    curves = hypotheses([Mechanism(noise, rate, steps)], DELTA)
    truth, above = curves[NOISE.index(1.0)].epsilon, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        coins = rng.random(300) < 0.5
        inside = coins[:, None] & (rng.random((300, steps)) < rate)
        seen = rng.normal(size=(300, steps)) * noise + inside
        scores = np.log(1 - rate + rate * np.exp((2 * seen - 1) / (2 * noise**2))).sum(axis=1)
        above += audit_own_curve(scores, coins, COUNTS, DELTA, 0.95, curves).lower > truth
    assert above <= 5


def test_coins_alone_show_nothing_and_no_curve_is_refused(one_sum: tuple[TradeOff, ...]) -> None:
    rng = np.random.default_rng(0)
    coins = rng.random(400) < 0.5
    assert audit_own_curve(rng.normal(size=400), coins, COUNTS, DELTA, 0.95, one_sum).lower < 0.5
    with pytest.raises(UsageError, match="no curves"):
        audit_own_curve([1.0, 0.0], [True, False], COUNTS, DELTA, 0.95, ())
