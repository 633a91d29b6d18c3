"""Loaders that would sample otherwise than the accountant believes."""

from __future__ import annotations

import math
from typing import Any

from accelerate.data_loader import (
    BatchSamplerShard,
    DataLoaderAdapter,
    IterableDatasetShard,
    SkipBatchSampler,
)
from opacus.utils.batch_memory_manager import BatchSplittingSampler
from opacus.utils.uniform_sampler import DistributedUniformWithReplacementSampler, UniformWithReplacementSampler
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    WeightedRandomSampler,
)

from privacy.sampling.errors import SamplingError
from privacy.sampling.loader import LogicalBatchSampler

_INSTEAD = "hand over the records and a batch size, private training draws its own Poisson batches"


def refuse_loader(loader: Any) -> None:
    """Raise SamplingError unless `loader` draws its batches by our sampler, or by Opacus' with the rate it reports."""
    if isinstance(loader, DataLoaderAdapter):
        raise _refusal(
            f"the loader was re-wrapped by accelerate ({type(loader).__name__}), which deals batches out to processes "
            "anew and fills up short ones with other records"
        )
    if not isinstance(loader, DataLoader):
        raise _refusal(f"a {type(loader).__name__} is no torch DataLoader, so who is in its batches cannot be known")
    if isinstance(loader.dataset, IterableDataset | IterableDatasetShard):
        raise _refusal(
            f"the dataset {type(loader.dataset).__name__} is a stream: no record can be drawn from it at a known rate"
        )
    batch_sampler = loader.batch_sampler
    if type(batch_sampler) is LogicalBatchSampler:
        return
    if type(batch_sampler) is UniformWithReplacementSampler:
        records: Any = loader.dataset
        _refuse_other_rate(batch_sampler, len(records))
        return
    raise _refusal(_reason(loader))


def _reason(loader: DataLoader[Any]) -> str:
    batch_sampler: Any = loader.batch_sampler
    name = type(batch_sampler).__name__
    if batch_sampler is None:
        return "the loader has no batch sampler"
    if isinstance(batch_sampler, BatchSamplerShard | SkipBatchSampler):
        return f"accelerate's {name} leaves out or repeats batches, which changes how often a record is seen"
    if isinstance(batch_sampler, DistributedUniformWithReplacementSampler):
        return f"{name} leaves out empty local batches, so that processes take different numbers of steps"
    if isinstance(batch_sampler, BatchSplittingSampler):
        return f"{name} cuts logical batches into physical ones, which private training does itself"
    if getattr(batch_sampler, "drop_last", False):
        return "drop_last leaves out records, so the sampling rate is not what it seems"
    sampler: Any = getattr(batch_sampler, "sampler", None)
    if isinstance(sampler, WeightedRandomSampler):
        return "WeightedRandomSampler draws some records more often than others, at no common rate (Opacus issue 813)"
    if isinstance(sampler, DistributedSampler):
        return "DistributedSampler shuffles and repeats records to even out processes: that is no Poisson sampling"
    if isinstance(sampler, RandomSampler):
        return f"shuffle=True ({type(sampler).__name__}) makes batches of a fixed size: that is no Poisson sampling"
    if isinstance(sampler, SequentialSampler):
        return "batches in the order of the data are no Poisson sampling"
    return f"how {name}{f' over {type(sampler).__name__}' if sampler else ''} draws records is not known"


def _refuse_other_rate(sampler: UniformWithReplacementSampler, records: int) -> None:
    """Opacus accounts for 1 / steps, whatever the sampler's rate."""
    if sampler.num_samples != records:
        raise _refusal(f"the sampler draws from {sampler.num_samples} records but the data hold {records}")
    if not math.isclose(sampler.sample_rate * sampler.steps, 1.0, rel_tol=1e-9):
        raise _refusal(
            f"the sampler draws each record with probability {sampler.sample_rate:g} in {sampler.steps} steps, "
            f"for which Opacus accounts 1/{sampler.steps}"
        )


def _refusal(reason: str) -> SamplingError:
    return SamplingError(f"{reason}; {_INSTEAD}")
