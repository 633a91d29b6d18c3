from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from harness.api.scorer import Floats
from suites.bias.seat.effect import _all_sums, _by_bits, _by_order, associations, by_word, effect_size, permutation

Array = Any


def cosine(a: Array, b: Array) -> float:
    return float(np.dot(a, b) / math.sqrt(np.dot(a, a) * np.dot(b, b)))


def slow_permutation(x: list[float], y: list[float]) -> float:
    """The published definition, one partition at a time."""
    every = x + y
    hits = total = 0
    for chosen in combinations(range(len(every)), len(x)):
        total += 1
        hits += math.fsum(every[i] for i in chosen) >= math.fsum(x) - 1e-12
    return hits / total


def test_associations_are_differences_of_mean_cosines() -> None:
    rng = np.random.default_rng(0)
    targets, first, second = (rng.normal(size=(n, 5)) for n in (4, 3, 2))
    found = associations(targets, first, second)
    for target, value in zip(targets, found, strict=True):
        by_hand = np.mean([cosine(target, a) for a in first]) - np.mean([cosine(target, b) for b in second])
        assert value == pytest.approx(by_hand, abs=1e-12)


def test_a_vector_of_zeros_has_no_association() -> None:
    assert math.isnan(associations(np.zeros((1, 2)), np.eye(2), np.eye(2))[0])


def test_the_effect_size_by_hand() -> None:
    # means 2 and -1; all of 1, 3, -2, 0 have mean 0.5 and deviation sqrt((0.25 + 6.25 + 6.25 + 0.25) / 3)
    assert effect_size(np.array([1.0, 3.0]), np.array([-2.0, 0.0])) == pytest.approx(3 / math.sqrt(13 / 3))
    assert effect_size(np.ones(4), -np.ones(4)) == pytest.approx(math.sqrt(4 - 2 / 4))  # the largest of 4 and 4
    assert math.isnan(effect_size(np.ones(3), np.ones(3)))


@pytest.mark.parametrize("seed", range(5))
def test_the_exact_permutation_test_is_that_of_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (list(map(float, rng.integers(0, 4, 5) / 10)) for _ in range(2))  # tenths: many ties
    found = permutation(np.array(x), np.array(y))
    assert (found.exact, found.partitions) == (True, math.comb(10, 5))
    assert found.p == pytest.approx(slow_permutation(x, y), abs=1e-12)


def test_all_partitions_tie_where_all_associations_are_the_same() -> None:
    assert permutation(np.full(4, 0.1), np.full(4, 0.1)).p == 1.0


def test_a_perfect_separation_is_one_partition_of_all() -> None:
    found = permutation(np.arange(10.0, 18.0), np.arange(8.0))
    assert found.p == 1 / math.comb(16, 8)
    assert found.p == pytest.approx(7.77e-05, rel=1e-2)  # the least p of 8 against 8 words


def test_drawn_partitions_agree_with_all_of_them() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(0.3, 1, 8), rng.normal(0, 1, 8)
    exact, drawn = permutation(x, y), permutation(x, y, most=10_000)
    assert not drawn.exact
    assert drawn.p == pytest.approx(exact.p, abs=4 * math.sqrt(exact.p * (1 - exact.p) / 10_000))
    assert drawn.null_abs_effect == pytest.approx(exact.null_abs_effect, abs=0.02)


def test_the_effect_of_chance_by_brute_force() -> None:
    x, y = [0.1, 0.5, 0.2], [0.4, 0.0, 0.3]
    every = x + y
    effects = []
    for chosen in combinations(range(6), 3):
        ours = [every[i] for i in chosen]
        others = [every[i] for i in range(6) if i not in chosen]
        effects.append(abs(np.mean(ours) - np.mean(others)) / np.std(every, ddof=1))
    assert permutation(np.array(x), np.array(y)).null_abs_effect == pytest.approx(np.mean(effects))


def test_texts_of_a_word_count_as_one_word() -> None:
    assert by_word(np.array([1.0, 3.0, 5.0]), ["a", "b", "a"]).tolist() == [3.0, 3.0]


@pytest.mark.parametrize(("n", "size"), [(2, 1), (5, 2), (7, 6), (9, 4), (16, 8), (30, 2), (30, 28)])
def test_all_sums_are_those_of_all_combinations(n: int, size: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    expected = sorted(math.fsum(chosen) for chosen in combinations(values.tolist(), size))
    np.testing.assert_allclose(np.sort(_all_sums(values, size)), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_ties_count_as_they_do_one_partition_at_a_time(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    sizes = rng.integers(2, 7, 2)
    x, y = (list(map(float, rng.integers(-3, 4, size) * 0.1)) for size in sizes)
    assert permutation(np.array(x), np.array(y)).p == pytest.approx(slow_permutation(x, y), abs=1e-12)


@pytest.mark.parametrize("draw", [_by_bits, _by_order])
def test_every_subset_is_drawn_alike_often(draw: Any) -> None:
    values = 2.0 ** np.arange(7)  # a sum tells its subset
    sums = draw(values, 3, 35_000, np.random.default_rng(1))
    found, counts = np.unique(sums, return_counts=True)
    assert set(found) == {sum(chosen) for chosen in combinations(values, 3)}
    assert len(sums) == 35_000
    # 35 subsets, 1,000 of each expected: chi squared of 34 degrees is under 66 but once in 1,000
    assert ((counts - 1_000) ** 2 / 1_000).sum() < 66


@pytest.mark.parametrize("n", [63, 64, 65, 130])
def test_long_rows_are_drawn_with_half_of_their_values(n: int) -> None:
    ones = _by_bits(np.ones(n), n // 2, 3_000, np.random.default_rng(0))
    assert (ones == n // 2).all()
    places = _by_bits(np.eye(1, n, n - 1)[0], n // 2, 3_000, np.random.default_rng(0))
    assert places.mean() == pytest.approx(n // 2 / n, abs=0.05)  # 5 standard errors: the last value, in the last word


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_of_vectors_that_are_all_one_is_no_effect(dtype: Any) -> None:
    """A model that says the same of every text, whose vectors differ by their last bit."""
    rng = np.random.default_rng(2)
    one: Floats = rng.normal(size=64)
    last_bits = 1 + rng.integers(-1, 2, (20, 64)) * float(np.finfo(dtype).eps)
    first: Floats = rng.normal(size=(8, 64)).astype(dtype)
    second: Floats = rng.normal(size=(8, 64)).astype(dtype)
    s = associations((one * last_bits).astype(dtype), first, second)
    assert 0 < s.std() < 1e-7
    assert math.isnan(effect_size(s[:10], s[10:]))
    apart: Floats = rng.normal(size=(20, 64)).astype(dtype)
    s = associations(apart, first, first[::-1])  # the same words on either side
    assert math.isnan(effect_size(s[:10], s[10:]))
