from __future__ import annotations

import pytest
from scipy.stats import binomtest

from suites.bias.groups import differs_from_half, group_note


def test_groups_are_tested_against_one_half() -> None:
    found = differs_from_half({"x": (18, 20), "y": (10, 20), "none": (0, 0)})
    assert found == pytest.approx({"x": 2 * binomtest(18, 20, 0.5).pvalue, "y": 1.0})


def test_a_note_says_what_weakens_a_group() -> None:
    assert group_note("x", 100, {"x": 0.01}) == ""
    assert group_note("x", 100, {"x": 0.0123, "y": 1.0}) == "p of one half 0.012 after Holm over 2 groups"
    assert group_note("x", 7, {}, "pairs") == "7 pairs, fewer than 30: a small group"
