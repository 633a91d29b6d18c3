"""Shuffled epochs: every record once, whatever the process, the crash or the lengths; and no amplification."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.sampling import LogicalBatches, SamplingError, Shard, ShuffledSampling, fresh_generator


def batches(sampling: ShuffledSampling, rank: int = 0, world: int = 1, start: int = 0) -> list[list[int]]:
    return [indices for _, indices in LogicalBatches(sampling, shard=Shard(rank, world), start=start)]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 3), st.integers(1, 4))
def test_each_record_is_once_in_each_epoch(records: int, batch: int, epochs: int, world: int) -> None:
    sampling = ShuffledSampling(records, min(batch, records), epochs, seed=3)
    ranks = [batches(sampling, rank, world) for rank in range(world)]
    assert {len(found) for found in ranks} == {sampling.steps}
    together = [sorted(chain.from_iterable(parts)) for parts in zip(*ranks, strict=True)]
    assert together == [sorted(found) for found in batches(sampling)]
    per_epoch = sampling.steps_per_epoch
    for start in range(0, sampling.steps, per_epoch):
        epoch = together[start : start + per_epoch]
        assert sorted(chain.from_iterable(epoch)) == list(range(records))
        assert {len(found) for found in epoch[:-1]} <= {sampling.expected_batch_size}


def test_epochs_and_seeds_order_differently() -> None:
    first = batches(ShuffledSampling(100, 10, 2, seed=1))
    assert first[:10] != first[10:]
    assert first != batches(ShuffledSampling(100, 10, 2, seed=2))


def test_a_run_that_goes_on_in_mid_epoch_takes_no_record_twice() -> None:
    sampling = ShuffledSampling(25, 4, 2)
    whole = batches(sampling)
    assert batches(sampling, start=3) == whole[3:]  # drawn with another generator


def test_the_order_is_a_plain_permutation() -> None:
    """The place of each record is uniform: 400 epochs of 10 records, chi-square over the places of each."""
    sampling = ShuffledSampling(10, 1, 400)
    order = np.array([index for (index,) in batches(sampling)]).reshape(400, 10)
    counts = np.stack([np.bincount(order[:, place], minlength=10) for place in range(10)])
    statistic = float(((counts - 40) ** 2 / 40).sum())
    assert 40 < statistic < 140  # 81 degrees of freedom: mean 81, deviation 13


@pytest.mark.parametrize(("spent", "begun"), [(0, 0), (1, 1), (7, 1), (8, 2), (14, 2), (None, 3)])
def test_the_accountant_gets_no_amplification(spent: int | None, begun: int) -> None:
    mechanism = ShuffledSampling(25, 4, 3).mechanism(1.5, spent, group=2)
    assert (mechanism.noise_multiplier, mechanism.rate, mechanism.compositions, mechanism.group) == (1.5, 1.0, begun, 2)


@pytest.mark.parametrize(
    ("records", "batch", "epochs", "sentence"),
    [
        (3, 4, 1, r"the batch of 4 records is larger than the data \(3 records\)"),
        (0, 1, 1, "records: 0 is too few"),
        (3, 0, 1, "batch size: 0 is too few"),
        (3, 1, 0, "epochs: 0 is too few"),
    ],
)
def test_what_cannot_be_drawn_is_refused(records: int, batch: int, epochs: int, sentence: str) -> None:
    with pytest.raises(SamplingError, match=sentence):
        ShuffledSampling(records, batch, epochs)


def test_a_batch_can_be_changed_without_changing_the_epoch() -> None:
    sampling = ShuffledSampling(10, 5, 1)
    first = sampling.draw(0, fresh_generator(), Shard())
    kept = first.tolist()
    first[:] = 0
    assert sampling.draw(0, fresh_generator(), Shard()).tolist() == kept
