"""The records that one process looks after."""

from __future__ import annotations

from dataclasses import dataclass

from privacy.sampling.errors import SamplingError


@dataclass(frozen=True, slots=True)
class Shard:
    """Process `rank` of `world`. Shards are disjoint and together hold every record."""

    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise SamplingError(f"rank {self.rank} is not one of {self.world} processes, which count from 0")

    def size(self, records: int) -> int:
        """How many of `records` are this rank's: record i is where i % world == rank."""
        return len(range(self.rank, records, self.world))
