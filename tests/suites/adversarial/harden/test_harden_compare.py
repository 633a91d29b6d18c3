"""Paired numbers against enumeration and published ones."""

from __future__ import annotations

import math

import pytest

from harness.api.metrics import Better, Metric
from harness.campaign.changes import change, two_sided
from harness.gate.verdict import Comparison, Flips


@pytest.mark.parametrize("worse", range(7))
@pytest.mark.parametrize("better", range(7))
def test_p_is_that_of_all_splits_as_unlikely_as_this(worse: int, better: int) -> None:
    n = worse + better
    chance = [math.comb(n, k) / 2**n for k in range(n + 1)]
    expected = sum(each for each in chance if each <= chance[worse] * (1 + 1e-12))
    assert two_sided(worse, better) == pytest.approx(expected, abs=1e-12)
    assert two_sided(worse, better) == two_sided(better, worse)


def test_p_of_a_published_example() -> None:
    """Of 25 pairs that differ, 5 one way and 20 the other: 0.004 (sign test)."""
    assert two_sided(5, 20) == pytest.approx(0.00407732, abs=1e-8)


@pytest.mark.parametrize(("better", "ends"), [(Better.HIGHER, (-0.3, 0.1)), (Better.LOWER, (-0.1, 0.3))])
def test_differences_run_in_the_metrics_own_direction(better: Better, ends: tuple[float, float]) -> None:
    metric = Metric(key="s/p/m", value=0.5, n=10, better=better)
    sign = -1.0 if better is Better.HIGHER else 1.0
    paired = Comparison(
        metric="s/p/m",
        candidate=0.5,
        baseline=0.5 - sign * 0.1,
        difference=sign * 0.1,
        regression=0.1,
        low=-0.1,
        high=0.3,
        n=10,
        flips=Flips(worse=2, better=1, worse_ids=("a", "b"), better_ids=("c",)),
    )
    made = change(metric, paired)
    assert made.difference is not None
    assert (made.low, made.high) == ends
    assert ends[0] <= made.difference <= ends[1]
    assert (made.became_wrong, made.became_right) == (2, 1)
    assert (made.wrong_ids, made.right_ids, made.p) == (("a", "b"), ("c",), 1.0)


def test_without_an_interval_there_is_none() -> None:
    made = change(
        Metric(key="s/p/m", value=0.5, n=10, better=Better.HIGHER), Comparison(metric="s/p/m", note="too few pairs")
    )
    assert (made.low, made.high, made.p, made.note) == (None, None, None, "too few pairs")
