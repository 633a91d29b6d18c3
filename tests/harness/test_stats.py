from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from sklearn.metrics import f1_score, roc_auc_score

from harness import stats
from harness.stats import FloatArray, Interval, auc, auc_interval, bootstrap, clopper_pearson, wilson

COUNTS = [(0, 1), (1, 1), (0, 7), (3, 10), (7, 7), (50, 100), (1, 2000), (1999, 2000)]
LEVELS = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])
SHARES = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "n"), COUNTS)
@pytest.mark.parametrize(("ours", "method"), [(wilson, "wilson"), (clopper_pearson, "exact")])
def test_proportions_agree_with_scipy(
    ours: Callable[[int, int, float], Interval], method: str, successes: int, n: int, level: float
) -> None:
    theirs = binomtest(successes, n).proportion_ci(level, method)
    interval = ours(successes, n, level)
    assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert interval.level == level


def test_a_published_wilson_interval() -> None:
    """Newcombe 1998 (Statistics in Medicine 17:857), Table I, method 3: 81 of 263 and 15 of 148."""
    for successes, n, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)]:
        interval = wilson(successes, n)
        assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


def test_coverage_by_summing_over_every_outcome() -> None:
    n = 40
    exact = [clopper_pearson(k, n) for k in range(n + 1)]
    score = [wilson(k, n) for k in range(n + 1)]
    covered: dict[str, list[float]] = {"exact": [], "score": []}
    for share in np.linspace(0.01, 0.99, 99):
        chance = binom.pmf(np.arange(n + 1), n, share)
        for name, intervals in (("exact", exact), ("score", score)):
            covered[name].append(sum(p for p, i in zip(chance, intervals, strict=True) if i.low <= share <= i.high))
    assert min(covered["exact"]) >= 0.95
    assert np.mean(covered["score"]) == pytest.approx(0.95, abs=0.01)
    assert min(covered["score"]) > 0.83


@given(SHARES, LEVELS)
def test_a_proportion_lies_in_its_intervals(counts: tuple[int, int], level: float) -> None:
    successes, n = counts
    for interval in (wilson(successes, n, level), clopper_pearson(successes, n, level)):
        assert 0 <= interval.low <= successes / n <= interval.high <= 1


@given(SHARES, LEVELS, st.integers(2, 10))
def test_more_of_the_same_narrows_and_more_certainty_widens(counts: tuple[int, int], level: float, times: int) -> None:
    successes, n = counts
    for method in (wilson, clopper_pearson):
        narrow, wide = method(times * successes, times * n, level), method(successes, n, level)
        assert narrow.high - narrow.low < wide.high - wide.low
        sure = method(successes, n, 0.999)
        assert sure.low <= wide.low
        assert wide.high <= sure.high


@given(SHARES)
def test_failures_mirror_successes(counts: tuple[int, int]) -> None:
    successes, n = counts
    for method in (wilson, clopper_pearson):
        ours, mirrored = method(successes, n), method(n - successes, n)
        assert (ours.low, ours.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-12)


def test_nothing_observed_says_nothing() -> None:
    for interval in (wilson(0, 0), clopper_pearson(0, 0), auc_interval(0.5, 0, 9)):
        assert (interval.low, interval.high) == (0, 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: wilson(3, 2),
        lambda: clopper_pearson(-1, 2),
        lambda: wilson(1, 2, 1.0),
        lambda: bootstrap(lambda w: w.sum(1), 3, level=0.0),
        lambda: bootstrap(lambda w: w.sum(1), 3, clusters=[1, 2]),
        lambda: bootstrap(lambda w: w, 3),
        lambda: auc([], [1.0]),
        lambda: auc([math.nan], [1.0]),
        lambda: auc_interval(1.1, 5, 5),
        lambda: auc_interval(math.nan, 5, 5),
    ],
)
def test_what_is_no_number_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        call()


def mean_of(values: FloatArray) -> stats.Statistic:
    return lambda weights: weights @ values / weights.sum(1)


def naive_bootstrap(
    function: Callable[[list[int]], float], n: int, clusters: list[int] | None, seed: int, draws: int
) -> tuple[float, float]:
    """One resample at a time by row numbers, from the same stream of picks."""
    members = [[row for row in range(n) if (clusters or range(n))[row] == c] for c in sorted(set(clusters or range(n)))]
    picks = np.random.default_rng(seed).integers(0, len(members), size=(draws, len(members)))
    values = [function([row for unit in draw for row in members[unit]]) for draw in picks]
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))


@pytest.mark.parametrize("clusters", [None, [0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 4, 5]])
def test_bootstrap_equals_a_loop_over_the_same_resamples(clusters: list[int] | None) -> None:
    rng = np.random.default_rng(5)
    truth, predicted = rng.integers(0, 2, 12), rng.integers(0, 2, 12)
    truth[:2], predicted[:2] = 1, 1

    def f1(weights: FloatArray) -> FloatArray:
        hits, total = weights @ (truth * predicted), weights @ (truth + predicted)
        return np.where(total > 0, 2 * hits / total, 0.0)

    interval = bootstrap(f1, 12, clusters=clusters, seed=3, draws=200)
    expected = naive_bootstrap(
        lambda rows: float(f1_score(truth[rows], predicted[rows], zero_division=0.0)), 12, clusters, 3, 200
    )
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(expected, abs=1e-12)
    assert ("cluster" in interval.method) == (clusters is not None)
    assert interval.low < interval.high


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=31)
    labels = np.arange(31) // 4
    whole = [bootstrap(mean_of(values), 31, clusters=clusters, seed=9) for clusters in (None, labels)]
    seen: list[int] = []

    def spy(weights: FloatArray) -> FloatArray:
        seen.append(weights.size)
        return mean_of(values)(weights)

    monkeypatch.setattr(stats, "_CELLS", 100)
    for clusters, interval in zip((None, labels), whole, strict=True):
        chunked = bootstrap(spy, 31, clusters=clusters, seed=9)
        assert chunked is not None
        assert interval is not None
        assert (chunked.low, chunked.high) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert max(seen) <= 100


def test_the_seed_decides() -> None:
    statistic = mean_of(np.arange(20.0))
    assert bootstrap(statistic, 20, seed=1) == bootstrap(statistic, 20, seed=1)
    assert bootstrap(statistic, 20, seed=1) != bootstrap(statistic, 20, seed=2)


def test_bootstrap_of_a_mean_nears_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(size=400)
    interval = bootstrap(mean_of(values), 400, draws=4000)
    assert interval is not None
    half = 1.96 * values.std() / 20
    assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_clusters_of_copies_count_once() -> None:
    values = np.random.default_rng(2).normal(size=50)
    copies = bootstrap(mean_of(np.repeat(values, 4)), 200, clusters=np.repeat(np.arange(50), 4), seed=4)
    once = bootstrap(mean_of(values), 50, seed=4)
    naive = bootstrap(mean_of(np.repeat(values, 4)), 200, seed=4)
    assert copies is not None
    assert once is not None
    assert naive is not None
    assert (copies.low, copies.high) == pytest.approx((once.low, once.high), abs=1e-12)
    assert (naive.high - naive.low) < 0.6 * (copies.high - copies.low)


def test_bootstrap_coverage_by_simulation() -> None:
    rng = np.random.default_rng(6)
    covered = 0
    for trial in range(300):
        interval = bootstrap(mean_of(rng.exponential(size=60)), 60, seed=trial, draws=400)
        assert interval is not None
        covered += interval.low <= 1 <= interval.high
    assert 0.89 <= covered / 300 <= 0.98


def test_too_little_gives_no_interval() -> None:
    assert bootstrap(mean_of(np.ones(1)), 1) is None
    assert bootstrap(mean_of(np.ones(0)), 0) is None
    assert bootstrap(mean_of(np.ones(5)), 5, clusters=["a"] * 5) is None
    assert bootstrap(mean_of(np.ones(5)), 5, clusters=["a"] * 4 + ["b"]) is not None


def test_undefined_draws_are_dropped_up_to_a_twentieth() -> None:
    """A ratio over m rows of n is 0/0 in (1 - m/n)^n of the draws: 36 % for m = 1, 0.6 % for m = 5."""

    def ratio(m: int) -> stats.Statistic:
        inside = (np.arange(100) < m).astype(float)
        return lambda weights: (weights @ (inside * 0.5)) / (weights @ inside)

    assert bootstrap(ratio(1), 100) is None
    interval = bootstrap(ratio(5), 100)
    assert interval is not None
    assert (interval.low, interval.high) == (0.5, 0.5)


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


@settings(max_examples=30)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=40), st.integers(0, 5))
def test_a_bootstrap_mean_stays_within_the_data(values: list[float], seed: int) -> None:
    interval = bootstrap(mean_of(np.asarray(values)), len(values), seed=seed, draws=100)
    assert interval is not None
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9
