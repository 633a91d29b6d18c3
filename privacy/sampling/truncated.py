"""Poisson sampling with a hard cap on the batch, accounted for as what it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from privacy.accounting.mechanism import Mechanism
from privacy.sampling.errors import SamplingError
from privacy.sampling.generator import Uniforms
from privacy.sampling.poisson import PoissonSampling
from privacy.sampling.sampling import check_alone, check_batch, check_counts, check_steps
from privacy.sampling.shard import Shard


@dataclass(frozen=True, slots=True)
class TruncatedPoissonSampling:
    """Batches of PoissonSampling; of more than `max_batch` records drawn a uniform subset of that many is kept.

    See Sampling. A cut is seen from one process only. Raises SamplingError as PoissonSampling does, and for a cap that
    is below the expected batch or not below the data. Source: see accounting/truncated.py.
    """

    records: int
    expected_batch_size: int
    steps: int
    max_batch: int

    label: ClassVar[str] = "truncated Poisson"
    neighbours: ClassVar[str] = PoissonSampling.neighbours
    alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_counts(records=self.records, expected_batch_size=self.expected_batch_size, steps=self.steps)
        check_batch(self.expected_batch_size, self.records)
        if not self.expected_batch_size <= self.max_batch < self.records:
            raise SamplingError(
                f"max_batch is {self.max_batch}; it must be at least the batch size ({self.expected_batch_size}) and "
                f"below the {self.records} records; without a cap take sampling: poisson"
            )

    @property
    def rate(self) -> float:
        """Probability of a record to be drawn, before the cut."""
        return self.expected_batch_size / self.records

    def mechanism(self, noise_multiplier: float, steps: int | None = None, group: int = 1) -> Mechanism:
        """See Sampling; for single records only."""
        spent = self.steps if steps is None else check_steps(steps, self.steps)
        return Mechanism(noise_multiplier, self.rate, spent, group, max_batch=self.max_batch, records=self.records)

    def draw(self, step: int, generator: Uniforms, shard: Shard) -> NDArray[np.int64]:
        """See Sampling; every step draws alike."""
        check_alone(self, shard.world)
        drawn = np.flatnonzero(generator.random(self.records) < self.rate)
        if len(drawn) <= self.max_batch:
            return drawn
        kept = np.argpartition(generator.random(len(drawn)), self.max_batch)[: self.max_batch]
        return np.sort(drawn[kept])
