"""The logical batches of a run, and the physical ones they are computed in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from privacy.sampling.errors import SamplingError
from privacy.sampling.generator import Uniforms, fresh_generator
from privacy.sampling.sampling import Sampling
from privacy.sampling.shard import Shard


class LogicalBatches:
    """(step, record indices) of this rank for each logical step from `start`; a step without records comes too.

    All ranks get the same steps, whatever they draw. `generator` is a fresh one unless a test gives another.
    """

    def __init__(
        self,
        sampling: Sampling,
        *,
        shard: Shard | None = None,
        start: int = 0,
        generator: Uniforms | None = None,
    ) -> None:
        """Raises SamplingError when `start`, the steps spent before, is more than planned."""
        if not 0 <= start <= sampling.steps:
            raise SamplingError(f"step {start} is not among the {sampling.steps} planned; plan more or start earlier")
        self.sampling = sampling
        self.shard = shard or Shard()
        self.start = start
        self._generator: Uniforms = fresh_generator() if generator is None else generator

    def __len__(self) -> int:
        return self.sampling.steps - self.start

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        for step in range(self.start, self.sampling.steps):
            yield step, self.sampling.draw(step, self._generator, self.shard).tolist()


class LogicalBatchSampler(Sampler[list[int]]):
    """Logical batches as the `batch_sampler` of a torch DataLoader, whose `collate_fn` must take an empty list."""

    def __init__(self, batches: LogicalBatches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return (indices for _, indices in self.batches)


def micro_batches(indices: Sequence[int], lengths: Sequence[int], limit: int) -> list[list[int]]:
    """A logical batch in parts of at most `limit` records, which fit in memory; every record is in one part.

    Longest first, so that running out of memory shows at once; records of similar length meet, which saves padding
    and changes no clipped sum. `lengths` are those of all records of the data. An empty batch has no parts.
    """
    if limit < 1:
        raise SamplingError(f"micro-batches of {limit} records hold nothing; allow at least 1")
    order = sorted(indices, key=lambda index: lengths[index], reverse=True)
    return [order[first : first + limit] for first in range(0, len(order), limit)]
