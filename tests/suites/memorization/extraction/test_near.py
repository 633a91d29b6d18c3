"""Edit distance of tokens against the recursion that defines it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from suites.memorization.extraction.near import common_prefix, edits, overlap


def by_recursion(first: Sequence[int], second: Sequence[int]) -> int:
    @cache
    def distance(a: int, b: int) -> int:
        if a == 0 or b == 0:
            return a + b
        return min(
            distance(a - 1, b) + 1, distance(a, b - 1) + 1, distance(a - 1, b - 1) + (first[a - 1] != second[b - 1])
        )

    return distance(len(first), len(second))


@pytest.mark.parametrize("seed", range(30))
def test_edits_equal_the_recursion(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (tuple(rng.integers(0, 4, rng.integers(1, 12)).tolist()) for _ in range(2))
    assert edits(first, second) == by_recursion(first, second) / max(len(first), len(second))


def test_ends_of_the_scale() -> None:
    assert edits((1, 2, 3), (1, 2, 3)) == 0
    assert edits((), (1, 2, 3)) == 1
    assert edits((4, 5, 6), (1, 2, 3)) == 1
    assert edits((), ()) == 0
    assert edits((9, 1, 2), (1, 2, 3)) == pytest.approx(2 / 3)  # moved by one: no token stands where it should


def test_runs_and_overlaps() -> None:
    assert common_prefix((1, 2, 3), (1, 2, 4)) == 2
    assert common_prefix((1, 2), (1, 2, 4)) == 2
    assert overlap((2, 2, 9), (2, 3, 2, 2)) == 0.5
