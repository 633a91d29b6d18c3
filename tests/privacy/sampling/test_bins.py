"""Balls in bins: each record once an epoch, wherever it falls, and never twice after a restart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from privacy.sampling import BallsInBinsSampling, LogicalBatches, SamplingError, Shard

ALPHA = 1e-4


@pytest.mark.parametrize("world", [1, 3])
def test_each_record_is_in_one_step_of_each_epoch(world: int) -> None:
    sampling = BallsInBinsSampling(23, 5, 3)
    assert (sampling.steps_per_epoch, sampling.steps) == (5, 15)
    seen: list[list[int]] = [[] for _ in range(3)]
    for rank in range(world):
        batches = LogicalBatches(sampling, shard=Shard(rank, world), generator=np.random.default_rng(rank))
        for step, drawn in batches:
            seen[step // 5] += drawn
    assert all(sorted(epoch) == list(range(23)) for epoch in seen)


def test_places_are_uniform_and_new_in_each_epoch() -> None:
    sampling = BallsInBinsSampling(20, 5, 5000)
    places = np.zeros((5000, 20), dtype=int)
    for step, drawn in LogicalBatches(sampling, generator=np.random.default_rng(0)):
        places[step // 4, drawn] = step % 4
    for record in range(20):
        assert stats.chisquare(np.bincount(places[:, record], minlength=4)).pvalue > ALPHA
    pairs = np.bincount(4 * places[:, 0] + places[:, 1], minlength=16)  # two records
    after = np.bincount(4 * places[:-1, 0] + places[1:, 0], minlength=16)  # one, in epochs one after the other
    assert stats.chisquare(pairs).pvalue > ALPHA
    assert stats.chisquare(after).pvalue > ALPHA


def test_the_rest_of_an_epoch_that_began_elsewhere_is_empty() -> None:
    batches = LogicalBatches(BallsInBinsSampling(20, 5, 3), start=6, generator=np.random.default_rng(0))
    drawn = dict(batches)
    assert [drawn[step] for step in (6, 7)] == [[], []]
    assert sorted(index for step in range(8, 12) for index in drawn[step]) == list(range(20))


def test_a_number_that_rounds_up_to_one_is_in_the_last_bin() -> None:
    class Largest:
        def random(self, size: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
            return np.full(size, 1.0)

    sampling = BallsInBinsSampling(6, 2, 1)
    assert [len(sampling.draw(step, Largest(), Shard())) for step in range(3)] == [0, 0, 6]


@pytest.mark.parametrize(("spent", "epochs"), [(None, 3), (0, 0), (1, 1), (4, 1), (5, 2)])
def test_an_epoch_begun_counts_in_full(spent: int | None, epochs: int) -> None:
    mechanism = BallsInBinsSampling(20, 5, 3).mechanism(1.5, spent)
    assert (mechanism.bins, mechanism.rate, mechanism.compositions) == (4, 0.25, epochs)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(SamplingError, match="larger than the data"):
        BallsInBinsSampling(4, 5, 1)
