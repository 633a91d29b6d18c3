from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from suites.memorization.exposure.ranks import Way, exact, ranks, sampled


def test_exact_rank_by_enumeration() -> None:
    """Every four-digit number under a toy model; each is taken for the canary once."""
    digits = np.array([[int(d) for d in f"{number:04d}"] for number in range(10_000)])
    costs = np.random.default_rng(0).random((4, 10)).round(1)  # rounded, so that many tie
    losses = costs[np.arange(4), digits].sum(axis=1).round(1)
    for canary in (0, 1234, int(losses.argmin()), int(losses.argmax())):
        others = np.delete(losses, canary)
        rank = sum(1 for loss in losses if loss <= losses[canary])  # the canary itself among them
        found = exact([losses[canary]], others)[0]
        assert found.bits == pytest.approx(math.log2(10_000) - math.log2(rank))
        assert (found.low, found.high, found.way, found.at_least) == (found.bits, found.bits, Way.EXACT, False)


def test_ranks_count_ties_against_the_canary() -> None:
    assert ranks([1.0, 2.0, 5.0, -math.inf], [1.0, 2.0, 2.0, 3.0]).tolist() == [2, 4, 5, 1]
    assert exact([0.0], [1.0, 2.0, 3.0])[0].bits == 2.0
    assert exact([1.0], [1.0, 1.0, 1.0])[0].bits == 0.0


def test_sampled_stops_at_log2_n_and_says_so() -> None:
    best, middle, last = sampled([0.0, 500.5, 2000.0], np.arange(1.0, 1025.0), space=2**30)
    assert (best.bits, best.at_least, best.high) == (10.0, True, 30.0)
    assert middle.bits == pytest.approx(math.log2(1024 / 501))
    assert not middle.at_least
    assert last.bits == pytest.approx(math.log2(1024 / 1025))  # slightly negative
    assert last.low <= last.bits <= last.high
    share = binomtest(500, 1024).proportion_ci(0.95, "exact")
    assert (middle.low, middle.high) == pytest.approx((-math.log2(share.high), -math.log2(share.low)))
    assert sampled([0.0], np.ones(8))[0].high == math.inf


def test_the_sampled_interval_covers() -> None:
    rng, true = np.random.default_rng(2), 2.0**-6
    found = [sampled([true], rng.random(1000))[0] for _ in range(500)]
    assert np.mean([each.low <= 6.0 <= each.high for each in found]) >= 0.94
    assert np.mean([each.bits for each in found]) == pytest.approx(6.0, abs=0.15)


def test_nothing_to_rank_with_is_refused() -> None:
    with pytest.raises(ValueError, match="needs references"):
        exact([1.0], [])
    with pytest.raises(ValueError, match="needs references"):
        sampled([math.nan], [1.0])
