from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy.stats import beta, norm

from harness.api import means
from harness.api.means import exponential_sums, fewest_units, paired_draws, ratio_interval, unit_sums
from harness.api.metrics import RowValues
from harness.stats.intervals import FloatArray, clopper_pearson

UNIT = (0.0, 1.0)


def units(values: ArrayLike) -> FloatArray:
    values = np.asarray(values, dtype=np.float64)
    return np.stack([values, np.ones(len(values))], axis=1)


@pytest.mark.parametrize(("hits", "n"), [(30, 30), (0, 60), (3, 20), (58, 60), (500, 1000)])
def test_of_nothing_but_0_and_1_it_is_clopper_pearson(hits: int, n: int) -> None:
    found = ratio_interval(units((np.arange(n) < hits) * 1.0), RowValues([], bounds=UNIT), draws=40_000)
    exact = clopper_pearson(hits, n)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.02 * (exact.high - exact.low))


def test_values_all_alike_do_not_make_an_interval_without_width() -> None:
    """The rule of three: 0.3 in all of 50 rows leaves 0.3 +- what a share of 1 - 0.025^(1/50) at the bounds adds."""
    found = ratio_interval(units(np.full(50, 0.3)), RowValues([], bounds=UNIT), draws=40_000)
    unseen = beta.ppf(0.975, 1, 50)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.3 - 0.3 * unseen, 0.3 + 0.7 * unseen), abs=0.002)


def test_without_a_bound_an_end_needs_enough_rows_that_differ() -> None:
    rng = np.random.default_rng(0)
    positive = RowValues([], bounds=(0.0, math.inf))
    few = ratio_interval(units(rng.exponential(size=fewest_units(0.95) - 1)), positive)
    enough = ratio_interval(units(rng.exponential(size=fewest_units(0.95))), positive)
    alike = ratio_interval(units(np.full(500, 0.3)), positive)
    assert few is not None
    assert enough is not None
    assert alike is not None
    assert (few.high, alike.high) == (math.inf, math.inf)
    assert 0 < few.low < 1 < enough.high < 2
    assert ratio_interval(units(rng.normal(size=100)), RowValues([])) is None
    assert ratio_interval(units(np.zeros(0)), RowValues([], bounds=UNIT)) is None
    assert 0.98 ** fewest_units(0.95) <= 0.025 < 0.98 ** (fewest_units(0.95) - 1)


def test_many_rows_have_the_normal_interval() -> None:
    values = np.random.default_rng(1).random(20_000)
    found = ratio_interval(units(values), RowValues([], bounds=UNIT), draws=20_000)
    half = norm.ppf(0.975) * values.std() / math.sqrt(20_000)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_clusters_of_copies_count_once_and_units_that_do_not_count_not_at_all() -> None:
    values = np.random.default_rng(2).random(50)
    rows = np.stack([np.repeat(values, 4), np.ones(200)])
    whole = ratio_interval(unit_sums(rows, np.repeat(np.arange(50), 4).astype(object)), RowValues([], bounds=UNIT))
    once = ratio_interval(np.concatenate([units(values), np.zeros((30, 2))]), RowValues([], bounds=UNIT))
    assert whole is not None
    assert once is not None
    assert (whole.low, whole.high) == pytest.approx((once.low, once.high), abs=1e-12)


def test_the_finish_is_done_to_the_ends_and_the_seed_decides() -> None:
    values = units(np.random.default_rng(3).random(60))
    plain = ratio_interval(values, RowValues([], bounds=UNIT))
    finished = ratio_interval(values, RowValues([], bounds=UNIT, finish=np.exp))
    assert plain is not None
    assert finished is not None
    assert (finished.low, finished.high) == pytest.approx((math.exp(plain.low), math.exp(plain.high)))
    assert plain == ratio_interval(values, RowValues([], bounds=UNIT))
    assert plain != ratio_interval(values, RowValues([], bounds=UNIT), seed=1)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = units(np.random.default_rng(0).normal(size=31))
    whole = exponential_sums(values, 500)
    monkeypatch.setattr(means, "_CELLS", 100)
    for one, other in zip(whole, exponential_sums(values, 500), strict=True):
        assert one == pytest.approx(other)


@pytest.mark.parametrize("kind", ["two of a hundred", "skewed", "clustered"])
@pytest.mark.parametrize("n", [20, 60])
def test_no_side_errs_more_than_it_says(kind: str, n: int) -> None:
    rng, wrong = np.random.default_rng(n), [0, 0]
    for trial in range(800):
        sizes = rng.integers(1, 20, n) if kind == "clustered" else np.ones(n)
        values = rng.beta(0.1, 1.9, n) if kind == "skewed" else (rng.random(n) < 0.98) * 1.0
        truth = 0.05 if kind == "skewed" else 0.98
        found = ratio_interval(
            np.stack([values * sizes, sizes], axis=1), RowValues([], bounds=UNIT), draws=400, seed=trial
        )
        assert found is not None
        wrong[0] += found.low > truth
        wrong[1] += found.high < truth
    assert max(wrong) <= 0.0375 * 800


def test_paired_units_that_are_all_alike_still_have_room() -> None:
    same = np.stack([np.full(100, 0.5), np.full(100, 0.5), np.ones(100), np.ones(100)], axis=1)
    drawn = paired_draws(same, UNIT, level=0.95, draws=2000)
    assert drawn is not None
    assert len(drawn) == 4  # either audit's unseen case at either bound
    differences = np.concatenate([values[:, 0] - values[:, 1] for values in drawn])
    assert np.quantile(differences, 0.999) > 0.01
    assert paired_draws(same, (0.0, math.inf), level=0.95, draws=10) is None
    assert paired_draws(same[:1], UNIT, level=0.95, draws=10) is None
