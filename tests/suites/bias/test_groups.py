from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest

from suites.bias.groups import differs_from_half, group_note, holm, sign_test


def test_holm_is_that_of_the_paper_by_hand() -> None:
    # sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.2 x 1; none below the one before
    assert holm({"b": 0.02, "a": 0.01, "d": 0.2, "c": 0.03}) == pytest.approx(
        {"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.2}
    )
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_groups_are_tested_against_one_half() -> None:
    found = differs_from_half({"x": (18, 20), "y": (10, 20), "none": (0, 0)})
    assert found == pytest.approx({"x": 2 * binomtest(18, 20, 0.5).pvalue, "y": 1.0})


def test_a_note_says_what_weakens_a_group() -> None:
    assert group_note("x", 100, {"x": 0.01}) == ""
    assert group_note("x", 100, {"x": 0.0123, "y": 1.0}) == "p of one half 0.012 after Holm over 2 groups"
    assert group_note("x", 7, {}, "pairs") == "7 pairs, fewer than 30: a small group"


def test_holm_by_its_step_down_rule() -> None:
    """Rejected at alpha: from the smallest on, as long as p <= alpha / (tests left)."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = {str(i): float(rng.uniform() ** 3) for i in range(6)}
        adjusted = holm(p)
        for alpha in (0.01, 0.05, 0.3):
            rejected = set()
            for rank, name in enumerate(sorted(p, key=lambda name: p[name])):
                if p[name] > alpha / (6 - rank):
                    break
                rejected.add(name)
            assert {name for name in p if adjusted[name] <= alpha} == rejected


def test_the_sign_test_by_enumeration() -> None:
    rises, n = 7, 8
    as_far = [sum(signs) for signs in product((0, 1), repeat=n) if sum(signs) >= rises or sum(signs) <= n - rises]
    assert sign_test([0.1] * 7 + [-0.3, 0.0]) == pytest.approx(len(as_far) / 2**n)
    assert sign_test([0.0, 1e-15]) == 1.0
