"""Loaders whose batches are not what an accountant would believe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.data_loader import BatchSamplerShard, DataLoaderDispatcher, DataLoaderShard, skip_first_batches
from opacus import PrivacyEngine
from opacus.data_loader import DPDataLoader
from opacus.utils.batch_memory_manager import BatchSplittingSampler
from opacus.utils.uniform_sampler import DistributedUniformWithReplacementSampler, UniformWithReplacementSampler
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    Sampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from privacy.sampling import LogicalBatches, LogicalBatchSampler, PoissonSampling, SamplingError, refuse_loader

DATA = TensorDataset(torch.arange(64.0).reshape(64, 1), torch.zeros(64))


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(64))


class OwnBatches(Sampler[list[int]]):
    def __iter__(self) -> Iterator[list[int]]:
        yield [0, 1]


def in_order() -> BatchSampler:
    return BatchSampler(SequentialSampler(DATA), 8, drop_last=False)


def poisson(rate: float = 1 / 8, records: int = 64, steps: int | None = None) -> UniformWithReplacementSampler:
    return UniformWithReplacementSampler(num_samples=records, sample_rate=rate, steps=steps)


def batched(batch_sampler: Any) -> DataLoader[Any]:
    return DataLoader(DATA, batch_sampler=batch_sampler)


def of_a_rank(monkeypatch: pytest.MonkeyPatch) -> DistributedUniformWithReplacementSampler:
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    return DistributedUniformWithReplacementSampler(total_size=64, sample_rate=1 / 8)


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: DataLoader(DATA, batch_size=8, shuffle=True), r"shuffle=True \(RandomSampler\) makes batches of a fixed"),
    (lambda: DataLoader(DATA, batch_size=8), "batches in the order of the data are no Poisson sampling"),
    (lambda: DataLoader(DATA, batch_size=8, shuffle=True, drop_last=True), "drop_last leaves out records"),
    (lambda: DataLoader(DATA, batch_size=None), "the loader has no batch sampler"),
    (
        lambda: DataLoader(DATA, batch_size=8, sampler=WeightedRandomSampler([1.0] * 64, 64)),
        "WeightedRandomSampler draws some records more often .* issue 813",
    ),
    (
        lambda: DataLoader(DATA, batch_size=8, sampler=DistributedSampler(DATA, num_replicas=2, rank=0)),
        "DistributedSampler shuffles and repeats records",
    ),
    (
        lambda: Accelerator(cpu=True).prepare(DataLoader(DATA, 8, shuffle=True)),
        r"re-wrapped by accelerate \(DataLoaderS",
    ),
    (lambda: Accelerator(cpu=True).prepare(batched(poisson())), r"re-wrapped by accelerate \(DataLoaderShard\)"),
    (lambda: DataLoaderShard(DATA, batch_sampler=poisson()), r"re-wrapped by accelerate \(DataLoaderShard\)"),
    (lambda: DataLoaderDispatcher(DATA, batch_size=8), r"re-wrapped by accelerate \(DataLoaderDispatcher\)"),
    (lambda: skip_first_batches(batched(poisson()), 2), "accelerate's SkipBatchSampler leaves out or repeats batches"),
    (lambda: batched(BatchSamplerShard(in_order(), 2, 0)), "accelerate's BatchSamplerShard leaves out or repeats"),
    (
        lambda: batched(BatchSplittingSampler(sampler=poisson(), max_batch_size=4, optimizer=None)),
        "BatchSplittingSampler cuts logical batches",
    ),
    (lambda: batched(OwnBatches()), "how OwnBatches draws records is not known"),
    (lambda: DataLoader(Stream(), batch_size=8), "the dataset Stream is a stream"),
    (lambda: [[0, 1]], "a list is no torch DataLoader"),
    (lambda: batched(poisson(records=32)), "the sampler draws from 32 records but the data hold 64"),
    (
        lambda: batched(poisson(1 / 64, steps=1000)),
        "with probability 0.015625 in 1000 steps, for which Opacus accounts 1/1000",
    ),
    (lambda: batched(poisson(1 / 93)), "in 92 steps, for which Opacus accounts 1/92"),
]


@pytest.mark.parametrize(("make", "sentence"), REFUSED, ids=[sentence[:40] for _, sentence in REFUSED])
def test_a_loader_that_samples_otherwise_is_refused(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(SamplingError, match=sentence) as found:
        refuse_loader(make())
    assert str(found.value).endswith("private training draws its own Poisson batches")
    assert "\n" not in str(found.value)


def test_the_sampler_of_opacus_for_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SamplingError, match="DistributedUniformWithReplacementSampler leaves out empty local batches"):
        refuse_loader(batched(of_a_rank(monkeypatch)))


def test_a_subclass_of_a_known_sampler_is_not_trusted() -> None:
    class Longer(UniformWithReplacementSampler):  # type: ignore[misc]  # opacus has no types
        pass

    with pytest.raises(SamplingError, match="how Longer draws records is not known"):
        refuse_loader(batched(Longer(num_samples=64, sample_rate=1 / 8)))


def test_our_sampler_and_that_of_opacus_pass() -> None:
    ours = batched(LogicalBatchSampler(LogicalBatches(PoissonSampling(64, 8, 10))))
    of_opacus = (batched(poisson()), DPDataLoader.from_data_loader(DataLoader(DATA, batch_size=8)))
    for loader in (ours, *of_opacus):
        refuse_loader(loader)
    assert type(ours.batch_sampler) is LogicalBatchSampler
    assert {type(loader.batch_sampler) for loader in of_opacus} == {UniformWithReplacementSampler}


@pytest.mark.filterwarnings("ignore:Secure RNG turned off")
def test_what_the_engine_of_opacus_makes_passes() -> None:
    model = torch.nn.Linear(1, 1)
    _, _, loader = PrivacyEngine().make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=DataLoader(DATA, batch_size=8),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
    )
    refuse_loader(loader)
    assert type(loader.batch_sampler) is UniformWithReplacementSampler
