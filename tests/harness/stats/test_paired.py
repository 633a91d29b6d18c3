from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, multinomial, norm

from harness.api.metrics import Better, Metric, RowValues
from harness.baseline.pairs import Pairs, Rule, compare_values
from harness.stats.intervals import Method
from harness.stats.paired import drawn_regression, flip_regression, mcnemar, unpaired_regression

COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 400)).filter(lambda c: sum(c) > 0)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_one_sided_sign_test(worse: int, better: int) -> None:
    n = worse + better
    expected = binomtest(worse, n, 0.5, alternative="greater").pvalue if n else 1.0
    assert mcnemar(worse, better) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("worse", "better", "n"), [(12, 2, 44), (0, 1, 30), (9, 5, 54), (3, 3, 20), (135, 85, 1000)])
def test_the_ends_are_quantiles_of_dirichlet_weights(worse: int, better: int, n: int) -> None:
    """Reference: draws of the flips' weights, one unseen flip at its worst; half a percent of the tail is noise."""
    found = flip_regression(worse, better, n, margin=0.03)
    for a, b, sign in ((worse, better, 1), (better, worse, -1)):
        gamma = np.random.default_rng(0).gamma(np.array([a + 1, b or 1e-9, n - a - b]), size=(200_000, 3))
        drawn = (gamma[:, 0] - gamma[:, 1]) / gamma.sum(axis=1)
        end = found.interval.high if sign > 0 else -found.interval.low
        assert np.mean(drawn > end) == pytest.approx(0.025, abs=0.0015)
        if sign < 0:
            assert found.p == pytest.approx(np.mean(-drawn <= 0.03), abs=0.005)


@pytest.mark.parametrize("n", [20, 60])
def test_no_side_errs_more_than_it_says(n: int) -> None:
    """Every outcome summed; the score interval that was used before errs in up to 6 % at 20 pairs."""
    outcomes = [(a, b) for a in range(n + 1) for b in range(n + 1 - a)]
    cached = {pair: flip_regression(*pair, n).interval for pair in outcomes if pair[0] >= pair[1]}
    high = np.array([cached[a, b].high if a >= b else -cached[b, a].low for a, b in outcomes])
    cells = np.array([(a, b, n - a - b) for a, b in outcomes])
    for worse, better in ((0.02, 0.0), (0.05, 0.05), (0.3, 0.1), (0.0, 0.1), (0.5, 0.5), (0.97, 0.02)):
        chance = multinomial.pmf(cells, n, [worse, better, 1 - worse - better])
        assert chance[high < worse - better - 1e-9].sum() <= 0.0262


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
    assert found.interval.high == pytest.approx(1 - 0.025 ** (1 / 1000), abs=1e-7)  # as of no hit of 1000
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


def test_a_drawn_regression_is_the_widest_of_its_draws() -> None:
    rng = np.random.default_rng(3)
    near, far = rng.normal(0.1, 0.01, 4000), rng.normal(0.15, 0.02, 4000)
    found = drawn_regression(0.1, [near, far], margin=0.09, level=0.95, method=Method.PAIRED_GAFFKE)
    assert found.interval.low == pytest.approx(np.quantile(near, 0.025))
    assert found.interval.high == pytest.approx(np.quantile(far, 0.975))
    assert found.p == pytest.approx(norm.sf(1), abs=0.02)
    assert found.detectable == pytest.approx(0.09 + (1.96 + 0.8416) * 0.02, rel=0.05)


def test_two_intervals_make_one_of_the_difference() -> None:
    found = unpaired_regression((0.1, 0.2, 0.25), (0.1, 0.15, 0.27), margin=0.0, level=0.95)
    reach = math.hypot(0.1, 0.12)  # the farther end of either
    assert (found.interval.low, found.interval.high) == pytest.approx((0.05 - reach, 0.05 + reach))
    assert 0.025 < found.p < 0.5
    assert found.detectable > reach


def test_clustered_flips_do_not_pass_by_chance() -> None:
    """A true regression of 3 % in whole clusters, 36 of them, against a margin of 1 %: the percentiles passed 32 %."""
    rng, passed = np.random.default_rng(4), 0
    clusters = np.repeat(np.arange(36), 10)
    metric = Metric(key="a/b/m", value=0.5, n=9, better=Better.LOWER)
    frame = pd.DataFrame({"case_id": np.arange(360).astype(str)})
    for _ in range(300):
        worse = (rng.random(36) < 0.03)[clusters].astype(float)
        sides = [RowValues(side, clusters=clusters, bounds=(0.0, 1.0)) for side in (worse, np.zeros(360))]
        rule = Rule(margin=0.01, level=0.95, test="auto", draws=500)
        found = compare_values(metric, Pairs(frame, frame, 0, 0), sides[0], sides[1], rule)
        assert found.high is not None
        assert (found.detectable or 0) > 0.01
        passed += found.high <= 0.01
    assert passed == 0
