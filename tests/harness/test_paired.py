from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, norm

from harness.metrics import Better
from harness.paired import drawn_regression, flip_regression, mcnemar, tango_z
from harness.stats import FloatArray, points_only, resampled
from suites.estimates import estimate

COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 400)).filter(lambda c: sum(c) > 0)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_one_sided_sign_test(worse: int, better: int) -> None:
    n = worse + better
    expected = binomtest(worse, n, 0.5, alternative="greater").pvalue if n else 1.0
    assert mcnemar(worse, better) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("worse", "better", "n"), [(12, 2, 44), (0, 1, 30), (9, 5, 54), (3, 3, 20), (135, 85, 1000)])
@pytest.mark.parametrize("margin", [-0.2, 0.0, 0.02, 0.1, 0.4])
def test_tango_is_the_score_test_at_the_constrained_maximum(worse: int, better: int, n: int, margin: float) -> None:
    """Reference: maximise the trinomial likelihood on p12 - p21 = margin by a search."""

    def minus_log_likelihood(p21: float) -> float:
        p12, rest = p21 + margin, 1 - 2 * p21 - margin
        terms = ((worse, p12), (better, p21), (n - worse - better, rest))
        return -sum(count * math.log(p) if p > 0 else (math.inf if count else 0.0) for count, p in terms if count)

    low, high = max(0.0, -margin) + 1e-12, (1 - margin) / 2 - 1e-12
    p21 = minimize_scalar(minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    expected = (worse - better - n * margin) / math.sqrt(n * (2 * p21 + margin - margin**2))
    assert tango_z(worse, better, n, margin) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@given(COUNTS, st.floats(0.5, 0.999))
def test_the_interval_holds_the_estimate_and_agrees_with_the_test(counts: tuple[int, int, int], level: float) -> None:
    worse, better, _ = counts
    found = flip_regression(worse, better, sum(counts), level=level)
    assert found.interval.low <= found.value <= found.interval.high
    tail = (1 - level) / 2
    if found.interval.low > 1e-9:
        assert found.p <= tail * (1 + 1e-6)
    if found.p < tail * (1 - 1e-6):
        assert found.interval.low > -1e-9


@given(COUNTS, st.floats(0, 0.3), st.floats(0, 0.3))
def test_a_larger_margin_is_harder_to_exceed(counts: tuple[int, int, int], margin: float, more: float) -> None:
    worse, better, _ = counts
    strict = flip_regression(worse, better, sum(counts), margin=margin)
    loose = flip_regression(worse, better, sum(counts), margin=margin + more)
    assert loose.p >= strict.p - 1e-12
    assert loose.detectable >= strict.detectable - 1e-9


@given(COUNTS, st.integers(2, 5))
def test_more_identical_pairs_narrow_the_interval(counts: tuple[int, int, int], times: int) -> None:
    worse, better, _ = counts
    one = flip_regression(worse, better, sum(counts)).interval
    many = flip_regression(worse * times, better * times, sum(counts) * times).interval
    assert one.low - 1e-9 <= many.low
    assert many.high <= one.high + 1e-9


def test_without_flips_the_regression_is_only_bounded() -> None:
    found = flip_regression(0, 0, 1000)
    z2 = norm.ppf(0.975) ** 2
    assert found.interval.high == pytest.approx(z2 / (1000 + z2), abs=1e-9)  # Wilson's bound for no hit
    assert found.interval.low == pytest.approx(-found.interval.high)
    assert found.p == 1


def test_few_flips_alone_show_nothing() -> None:
    assert flip_regression(5, 0, 10_000).interval.low <= 0  # exact p is 1/32 > 0.025
    assert flip_regression(6, 0, 10_000).interval.low > 0  # 1/64


@pytest.mark.parametrize("counts", [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
def test_counts_that_are_none_are_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="not counts of pairs"):
        flip_regression(*counts)


def test_two_audits_of_the_same_model_block_in_at_most_alpha_of_500() -> None:
    """A gate blocks at a one-sided 2.5 %, the half of alpha = 5 % that its two-sided interval leaves at that end."""
    rng = np.random.default_rng(0)
    blocks = 0
    for _ in range(500):
        right = rng.random((2, 400)) < 0.9  # two seeds: independent errors, the hardest case
        worse, better = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
        blocks += flip_regression(worse, better, 400).interval.low > 0
    assert blocks <= 0.05 * 500


def test_no_one_sided_test_of_many_is_wrong_more_often_than_it_says() -> None:
    right = np.random.default_rng(5).random((4000, 2, 400)) < 0.9
    worse, better = (right[:, 1] & ~right[:, 0]).sum(axis=1), (right[:, 0] & ~right[:, 1]).sum(axis=1)
    wrong = np.mean([mcnemar(int(a), int(b)) <= 0.025 for a, b in zip(worse, better, strict=True)])
    assert wrong <= 0.025 + 2 * (0.025 / 4000) ** 0.5


def test_a_drop_of_five_points_is_found_at_a_thousand_cases() -> None:
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(300):
        right = np.array([rng.random(1000) < 0.85, rng.random(1000) < 0.90])
        worse, better = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
        found += flip_regression(worse, better, 1000).interval.low > 0
    assert found >= 0.90 * 300


def test_the_smallest_detectable_regression_is_found_in_eight_of_ten() -> None:
    rng = np.random.default_rng(2)
    n, differing = 1000, 0.1
    detectable = flip_regression(50, 50, n).detectable
    cells = [(differing + detectable) / 2, (differing - detectable) / 2, 1 - differing]
    draws = rng.multinomial(n, cells, size=400)
    found = np.mean([flip_regression(int(a), int(b), n).interval.low > 0 for a, b, _ in draws])
    assert 0.72 <= found <= 0.88


def test_a_bootstrap_of_pairs_agrees_with_the_normal_theory() -> None:
    differences = np.random.default_rng(3).normal(0.1, 1.0, 400)

    def statistic(weights: FloatArray) -> FloatArray:
        return np.asarray(weights @ differences / weights.sum(axis=1))

    found = drawn_regression(statistic, 400, margin=0.0, draws=4000)
    assert found is not None
    mean, error = differences.mean(), differences.std() / 20
    assert found.value == pytest.approx(mean)
    assert found.interval.low == pytest.approx(mean - 1.96 * error, abs=0.15 * error)
    assert found.interval.high == pytest.approx(mean + 1.96 * error, abs=0.15 * error)
    assert found.p == pytest.approx(norm.sf(mean / error), abs=0.02)
    assert found.detectable == pytest.approx((1.96 + 0.8416) * error, rel=0.05)


def test_one_unit_cannot_be_drawn() -> None:
    assert drawn_regression(lambda weights: weights[:, 0], 1, margin=0.0) is None


def test_inside_points_only_no_interval_is_drawn() -> None:
    def statistic(weights: FloatArray) -> FloatArray:
        return weights[:, 0]

    assert resampled(statistic, 5, draws=10) is not None
    with points_only():
        inside = estimate("m", lambda w: w.sum(axis=1), 5, better=Better.LOWER)
    assert (inside.value, inside.low) == (5.0, None)
    assert estimate("m", lambda w: w.sum(axis=1), 5, better=Better.LOWER).low == 5.0
