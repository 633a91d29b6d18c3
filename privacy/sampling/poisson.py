"""Poisson sampling: every record is in every batch with the same probability, independently of all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from privacy.accounting.mechanism import Mechanism
from privacy.sampling.generator import Uniforms
from privacy.sampling.sampling import check_batch, check_counts, check_steps
from privacy.sampling.shard import Shard


@dataclass(frozen=True, slots=True)
class PoissonSampling:
    """Batches of `expected_batch_size` records on average, over all ranks; some may be empty (see Sampling).

    Amplification holds only while nobody but this process can tell what its generator will draw, and each rank
    draws from a generator of its own. Raises SamplingError for a batch larger than the data, no records or no steps.
    Source: Mironov et al. 2019 (arXiv 1908.10530).
    """

    records: int
    expected_batch_size: int
    steps: int

    label: ClassVar[str] = "Poisson"
    neighbours: ClassVar[str] = "add or remove one record"
    alone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_counts(records=self.records, expected_batch_size=self.expected_batch_size, steps=self.steps)
        check_batch(self.expected_batch_size, self.records)

    @property
    def rate(self) -> float:
        """Probability of a record to be in a batch: what is drawn with and what is accounted."""
        return self.expected_batch_size / self.records

    def mechanism(self, noise_multiplier: float, steps: int | None = None, group: int = 1) -> Mechanism:
        """See Sampling."""
        spent = self.steps if steps is None else check_steps(steps, self.steps)
        return Mechanism(noise_multiplier=noise_multiplier, rate=self.rate, compositions=spent, group=group)

    def draw(self, step: int, generator: Uniforms, shard: Shard) -> NDArray[np.int64]:
        """See Sampling; every step draws alike."""
        inside = generator.random(shard.size(self.records)) < self.rate
        return np.flatnonzero(inside) * shard.world + shard.rank
