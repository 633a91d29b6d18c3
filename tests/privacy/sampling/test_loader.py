"""Logical batches over ranks, and their physical parts; the defects of Opacus 1.6 that ours must not have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from opacus.utils.uniform_sampler import DistributedUniformWithReplacementSampler, UniformWithReplacementSampler
from torch.utils.data import DataLoader

from privacy.sampling import (
    LogicalBatches,
    LogicalBatchSampler,
    PoissonSampling,
    Sampling,
    SamplingError,
    Shard,
    ShuffledSampling,
    micro_batches,
)


def seeded(rank: int) -> np.random.Generator:
    return np.random.default_rng([5, rank])


@pytest.mark.parametrize("world", [1, 2, 4])
def test_every_rank_takes_every_step(world: int) -> None:
    sampling = PoissonSampling(16, 1, 50)
    ranks = [list(LogicalBatches(sampling, shard=Shard(rank, world), generator=seeded(rank))) for rank in range(world)]
    assert all([step for step, _ in steps] == list(range(50)) for steps in ranks)
    assert any(not indices for steps in ranks for _, indices in steps)
    assert any(all(not steps[step][1] for steps in ranks) for step in range(50)), "a wholly empty step comes too"
    for rank, steps in enumerate(ranks):
        assert all(index % world == rank for _, indices in steps for index in indices)


def test_opacus_ranks_take_different_numbers_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sampler skips an empty local batch while its optimizer all-reduces in every step."""
    taken, ours = [], []
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    for rank in range(4):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        generator = torch.Generator().manual_seed(rank)
        sampler = DistributedUniformWithReplacementSampler(
            total_size=16, sample_rate=1 / 16, steps=50, generator=generator
        )
        taken.append(len(list(sampler)))
        ours.append(len(list(LogicalBatches(PoissonSampling(16, 1, 50), shard=Shard(rank, 4)))))
    assert len(set(taken)) > 1
    assert ours == [50] * 4


def test_opacus_accounts_for_another_rate_than_it_draws_with() -> None:
    """Its steps are int(1 / rate), which is 92 for 1/93 in floating point, and its accountant takes 1 / steps."""
    wrong = [n for n in range(1, 200) if len(UniformWithReplacementSampler(num_samples=n, sample_rate=1 / n)) != n]
    assert wrong[0] == 93
    for n in wrong:
        assert PoissonSampling(n, 1, n).mechanism(1.0).rate == 1 / n


def test_a_run_goes_on_where_it_was() -> None:
    batches = LogicalBatches(PoissonSampling(10, 2, 7), start=4)
    assert len(batches) == 3
    assert [step for step, _ in batches] == [4, 5, 6]
    assert list(LogicalBatches(PoissonSampling(10, 2, 7), start=7)) == []


@pytest.mark.parametrize("start", [-1, 8])
def test_a_start_outside_the_plan_is_refused(start: int) -> None:
    with pytest.raises(SamplingError, match=f"step {start} is not among the 7 planned"):
        LogicalBatches(PoissonSampling(10, 2, 7), start=start)


def test_runs_draw_anew() -> None:
    sampling = PoissonSampling(1000, 500, 2)
    assert list(LogicalBatches(sampling)) != list(LogicalBatches(sampling))


@pytest.mark.parametrize("sampling", [PoissonSampling(12, 2, 30), ShuffledSampling(12, 5, 2)])
def test_a_torch_loader_gets_every_logical_batch(sampling: Sampling) -> None:
    records = [f"record {index}" for index in range(12)]
    sampler = LogicalBatchSampler(LogicalBatches(sampling, generator=seeded(0)))
    loader: DataLoader[str] = DataLoader(records, batch_sampler=sampler, collate_fn=list)  # type: ignore[arg-type]
    expected = [[records[index] for index in found] for _, found in LogicalBatches(sampling, generator=seeded(0))]
    assert len(loader) == sampling.steps == len(expected)
    assert list(loader) == expected


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=40).flatmap(
        lambda lengths: st.tuples(st.just(lengths), st.lists(st.integers(0, len(lengths) - 1), unique=True))
    ),
    st.integers(1, 12),
)
def test_micro_batches_hold_each_record_once(drawn: tuple[list[int], list[int]], limit: int) -> None:
    lengths, indices = drawn
    parts = micro_batches(indices, lengths, limit)
    flat = [index for part in parts for index in part]
    assert sorted(flat) == sorted(indices)
    assert len(parts) == -(-len(indices) // limit)
    assert all(0 < len(part) <= limit for part in parts)
    assert [lengths[index] for index in flat] == sorted((lengths[index] for index in indices), reverse=True)


def test_an_empty_batch_has_no_parts() -> None:
    assert micro_batches([], [3, 4], 8) == []


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(SamplingError, match="micro-batches of 0 records hold nothing"):
        micro_batches([0], [3], 0)
