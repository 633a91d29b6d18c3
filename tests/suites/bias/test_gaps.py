from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from suites.bias.gaps import PairGap, flips, gaps, group_shifts, pair_gaps, total_variation

RNG = np.random.default_rng(0)


def test_total_variation_of_two_classes_is_the_difference_of_one() -> None:
    p = RNG.uniform(size=5)
    distance = total_variation(np.column_stack([1 - p, p]))
    assert distance == pytest.approx(np.abs(p[:, None] - p[None]))


def test_total_variation_is_the_largest_difference_over_events() -> None:
    probabilities = RNG.dirichlet(np.ones(4), size=2)
    events = [list(event) for size in range(5) for event in combinations(range(4), size)]
    largest = max(abs(probabilities[0, event].sum() - probabilities[1, event].sum()) for event in events)
    assert total_variation(probabilities)[0, 1] == pytest.approx(largest)


def test_gaps_are_within_sets_and_every_set_counts_the_same() -> None:
    p = np.array([0.1, 0.4, 0.9, 0.8, 0.5])
    found = gaps(np.column_stack([1 - p, p]), ["a", "a", "b", "b", "b"])
    assert found.mean == pytest.approx((0.3 + (0.1 + 0.4 + 0.3) / 3) / 2)
    assert found.largest == pytest.approx(0.4)
    assert found.farthest == (2, 4)


def test_gaps_by_brute_force() -> None:
    sets = ["x", "y", "x", "y", "x", "y"]
    probabilities = RNG.dirichlet(np.ones(3), size=6)
    pairs = {name: [(i, j) for i, j in combinations(range(6), 2) if sets[i] == sets[j] == name] for name in "xy"}
    distance = {
        pair: sum(abs(probabilities[pair[0], c] - probabilities[pair[1], c]) for c in range(3)) / 2
        for mine in pairs.values()
        for pair in mine
    }
    found = gaps(probabilities, sets)
    assert found.mean == pytest.approx(np.mean([np.mean([distance[pair] for pair in mine]) for mine in pairs.values()]))
    assert found.largest == pytest.approx(max(distance.values()))


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [([0, 0, 1, 1], False), ([0, 1, 1, 1], True), ([2, 2, 2, 0], True), ([0, 0, 0, 0], False)],
)
def test_a_flip_is_within_a_set(predicted: list[int], expected: bool) -> None:
    assert flips(predicted, ["a", "a", "b", "b"]) is expected


def test_group_shifts_are_from_the_mean_of_the_set() -> None:
    shifts = group_shifts(np.array([0.2, 0.4, 0.9, 0.5]), ["a", "a", "b", "b"], ["f", "m", "f", "m"])
    assert shifts == pytest.approx({"f": (-0.1 + 0.2) / 2, "m": (0.1 - 0.2) / 2})


def test_pairs_of_groups_are_told_apart() -> None:
    p = np.array([0.1, 0.4, 0.9, 0.8, 0.5, 0.5])
    probabilities = np.column_stack([1 - p, p])
    found = pair_gaps(probabilities, [0, 0, 1, 1, 1, 1], ["s", "s", "s", "t", "t", "t"], ["b", "a", "c", "a", "b", "c"])
    assert set(found) == {("a", "b"), ("a", "c"), ("b", "c")}
    expected = {
        ("a", "b"): PairGap(0.3, 0.3, False),
        ("a", "c"): PairGap(0.4, 0.5, True),
        ("b", "c"): PairGap(0.4, 0.8, True),
    }
    for pair, gap in expected.items():
        assert (found[pair].mean, found[pair].largest) == pytest.approx((gap.mean, gap.largest))
        assert found[pair].flip is gap.flip
