from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, quantile_test
from sklearn.metrics import roc_auc_score

from harness.stats.intervals import Interval, auc, auc_interval, clopper_pearson, median_interval

COUNTS = [(0, 1), (1, 1), (0, 7), (3, 10), (7, 7), (50, 100), (1, 2000), (1999, 2000)]
LEVELS = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])
SHARES = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "n"), COUNTS)
def test_proportions_agree_with_scipy(successes: int, n: int, level: float) -> None:
    theirs = binomtest(successes, n).proportion_ci(level, "exact")
    interval = clopper_pearson(successes, n, level)
    assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert interval.level == level


def test_a_published_exact_interval() -> None:
    """Newcombe 1998 (Statistics in Medicine 17:857), Table I, method 5: 81 of 263, 15 of 148, 0 of 20 and 1 of 29."""
    published = [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)]
    for successes, n, low, high in published:
        interval = clopper_pearson(successes, n)
        assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


def test_coverage_by_summing_over_every_outcome() -> None:
    n = 40
    exact = [clopper_pearson(k, n) for k in range(n + 1)]
    for share in np.linspace(0.01, 0.99, 99):
        chance = binom.pmf(np.arange(n + 1), n, share)
        assert sum(p for p, i in zip(chance, exact, strict=True) if i.low > share) <= 0.025
        assert sum(p for p, i in zip(chance, exact, strict=True) if i.high < share) <= 0.025


@given(SHARES, LEVELS)
def test_a_proportion_lies_in_its_interval(counts: tuple[int, int], level: float) -> None:
    successes, n = counts
    interval = clopper_pearson(successes, n, level)
    assert 0 <= interval.low <= successes / n <= interval.high <= 1


@given(SHARES, LEVELS, st.integers(2, 10))
def test_more_of_the_same_narrows_and_more_certainty_widens(counts: tuple[int, int], level: float, times: int) -> None:
    successes, n = counts
    narrow, wide = clopper_pearson(times * successes, times * n, level), clopper_pearson(successes, n, level)
    assert narrow.high - narrow.low < wide.high - wide.low
    sure = clopper_pearson(successes, n, 0.999)
    assert sure.low <= wide.low
    assert wide.high <= sure.high


@given(SHARES)
def test_failures_mirror_successes(counts: tuple[int, int]) -> None:
    successes, n = counts
    ours, mirrored = clopper_pearson(successes, n), clopper_pearson(n - successes, n)
    assert (ours.low, ours.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-12)


def test_nothing_observed_says_nothing() -> None:
    for interval in (clopper_pearson(0, 0), auc_interval(0.5, 0, 9)):
        assert (interval.low, interval.high) == (0, 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: clopper_pearson(3, 2),
        lambda: clopper_pearson(-1, 2),
        lambda: clopper_pearson(1, 2, 1.0),
        lambda: Interval(0.0, 1.0, "my own method"),
        lambda: auc([], [1.0]),
        lambda: auc([math.nan], [1.0]),
        lambda: auc_interval(1.1, 5, 5),
        lambda: auc_interval(math.nan, 5, 5),
    ],
)
def test_what_is_no_number_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        call()


def pair_loop(positives: list[float], negatives: list[float]) -> float:
    wins = [(p > q) + (p == q) / 2 for p, q in itertools.product(positives, negatives)]
    return sum(wins) / len(wins)


SCORES = st.lists(
    st.one_of(st.integers(-3, 3).map(float), st.floats(-9, 9), st.just(math.inf)), min_size=1, max_size=30
)


@given(SCORES, SCORES)
def test_auc_equals_the_loop_over_pairs(positives: list[float], negatives: list[float]) -> None:
    value = auc(positives, negatives)
    assert value == pytest.approx(pair_loop(positives, negatives), abs=1e-12)
    assert value == pytest.approx(1 - auc(negatives, positives), abs=1e-12)


def test_auc_agrees_with_sklearn_with_ties() -> None:
    rng = np.random.default_rng(3)
    positives, negatives = rng.normal(0.7, 1, 400).round(1), rng.normal(0, 1, 900).round(1)
    truth = np.r_[np.ones(400), np.zeros(900)]
    assert auc(positives, negatives) == pytest.approx(roc_auc_score(truth, np.r_[positives, negatives]), abs=1e-12)


def test_the_auc_interval_ends_where_the_bound_does() -> None:
    """At an end theta the Chernoff tail exp(-k KL(value || theta)) is exactly (1 - level) / 2."""
    interval = auc_interval(0.7, 50, 80, 0.9)
    for theta in (interval.low, interval.high):
        divergence = 0.7 * math.log(0.7 / theta) + 0.3 * math.log(0.3 / (1 - theta))
        assert math.exp(-50 * divergence) == pytest.approx(0.05, rel=1e-9)
    assert auc_interval(1.0, 50, 80, 0.9).low == pytest.approx(0.05 ** (1 / 50), abs=1e-12)
    assert auc_interval(1.0, 50, 80, 0.9).high == 1


@given(st.floats(0, 1), st.integers(1, 5000), st.integers(1, 5000), LEVELS)
def test_an_auc_lies_in_its_interval_which_narrows(value: float, m: int, n: int, level: float) -> None:
    interval, more = auc_interval(value, m, n, level), auc_interval(value, 2 * m, 2 * n, level)
    assert 0 <= interval.low <= value <= interval.high <= 1
    assert interval.low <= more.low <= more.high <= interval.high
    assert more.high - more.low < interval.high - interval.low
    mirrored = auc_interval(1 - value, n, m, level)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((interval.low, interval.high), abs=1e-9)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_auc_interval_coverage_by_simulation(shift: float) -> None:
    """Normal scores: the true AUC is Phi(shift / sqrt 2)."""
    truth = 0.5 * (1 + math.erf(shift / 2))
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(500):
        interval = auc_interval(auc(rng.normal(shift, 1, 20), rng.normal(0, 1, 35)), 20, 35)
        covered += interval.low <= truth <= interval.high
    assert covered / 500 >= 0.95


def test_auc_interval_covers_two_point_scores() -> None:
    """The worst case: scores so far apart that the AUC is the mean of 0-1 variables."""
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(500):
        interval = auc_interval(auc(np.where(rng.random(25) < 0.8, 1.0, -1.0), np.zeros(25)), 25, 25)
        covered += interval.low <= 0.8 <= interval.high
    assert covered / 500 >= 0.95


@pytest.mark.parametrize("n", [1, 5, 6, 7, 20, 183])
def test_the_interval_of_a_median_is_scipys(n: int) -> None:
    values = np.random.default_rng(n).exponential(size=n)
    found = median_interval(values)
    expected = quantile_test(values, p=0.5).confidence_interval(0.95)
    assert found is not None
    ends = [math.inf if math.isnan(end) else end for end in (-expected.low, expected.high)]
    assert [-found.low, found.high] == ends
    assert math.isinf(found.low) is (n < 6)


def test_a_median_of_nothing_has_no_interval() -> None:
    assert median_interval([]) is None
    assert median_interval([1.0, math.nan]) is None
