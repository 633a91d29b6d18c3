from __future__ import annotations

import numpy as np
import pytest

from harness.stats.differences import newcombe
from harness.stats.intervals import clopper_pearson, share_reach
from suites.bias.extremes import farthest, largest_difference, level_for


def test_two_groups_have_the_interval_of_two_rates() -> None:
    rates = {}
    for name, hits, n in (("a", 30, 50), ("b", 10, 40)):
        down, up = share_reach(hits, n, level_for(2))
        rates[name] = (hits / n, hits / n - down, hits / n + up)
    value, interval, which = largest_difference(rates)
    expected = newcombe(30, 50, 10, 40)
    assert which == ("a", "b")
    assert (value, interval.low, interval.high) == pytest.approx((0.35, expected.low, expected.high))


def test_groups_of_one_value_are_not_held_one_over_itself() -> None:
    alike = largest_difference({"a": (0.5, 0.4, 0.6), "b": (0.5, 0.4, 0.6)})
    assert alike[0] == 0
    assert farthest(alike[2], "over") == "all alike"
    assert farthest(("b", "a"), "over") == "b over a"


@pytest.mark.parametrize("truth", [[0.3] * 4, [0.3] * 8, [0.2, 0.3, 0.3, 0.5], [0.03, 0.03]])
def test_it_holds_the_largest_difference_of_groups_as_often_as_said(truth: list[float]) -> None:
    rng, n, runs = np.random.default_rng(0), 80, 200
    level, held = level_for(len(truth)), 0
    for _ in range(runs):
        rates = {}
        for name, rate in enumerate(truth):
            hits = int(rng.binomial(n, rate))
            down, up = share_reach(hits, n, level)
            rates[str(name)] = (hits / n, hits / n - down, hits / n + up)
        _, interval, _ = largest_difference(rates)
        held += interval.low <= max(truth) - min(truth) <= interval.high
    assert clopper_pearson(held, runs).high >= 0.95
    assert held / runs >= 0.93
