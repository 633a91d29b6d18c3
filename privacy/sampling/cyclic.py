"""Poisson sampling from one part of the data after the other, so that banded noise is amplified too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from privacy.accounting.mechanism import Mechanism
from privacy.sampling.errors import SamplingError
from privacy.sampling.generator import Uniforms
from privacy.sampling.sampling import check_batch, check_counts, check_steps
from privacy.sampling.shard import Shard


@dataclass(frozen=True, slots=True)
class CyclicPoissonSampling:
    """A record of part p may be in the steps t with t = p modulo `parts`, in each with the same chance, independently.

    Its steps are at least `parts` apart, so with noise over as many bands each of them is a sampled Gaussian release of
    its own. See Sampling. Which part a record is in comes from `seed`, is public, and stays after a restart; so
    neighbours are a record and nothing in its place. Raises SamplingError as PoissonSampling does, and for more parts
    than batches in the data. Source: Choquette-Choo et al. 2023 (arXiv 2306.08153).
    """

    records: int
    expected_batch_size: int
    steps: int
    parts: int
    seed: int = 0

    label: ClassVar[str] = "cyclic Poisson"
    neighbours: ClassVar[str] = "replace one record by nothing (zero-out)"
    alone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_counts(
            records=self.records, expected_batch_size=self.expected_batch_size, steps=self.steps, parts=self.parts
        )
        check_batch(self.expected_batch_size, self.records)
        if self.parts * self.expected_batch_size > self.records:
            raise SamplingError(
                f"{self.parts} parts of {self.records} records hold no batches of {self.expected_batch_size}; give at "
                f"most {self.records // self.expected_batch_size} bands, or a smaller batch_size"
            )

    @property
    def rate(self) -> float:
        """Chance of a record to be in a step of its part."""
        return self.parts * self.expected_batch_size / self.records

    def mechanism(self, noise_multiplier: float, steps: int | None = None, group: int = 1) -> Mechanism:
        """One composition for each round begun; records of a unit may lie in any parts, so for single records only."""
        spent = self.steps if steps is None else check_steps(steps, self.steps)
        if group > 1:
            raise SamplingError(
                "banded noise with Poisson sampling is accounted for single records, not for users with several; take "
                "sampling: shuffle"
            )
        return Mechanism(noise_multiplier, self.rate, -(-spent // self.parts))

    def draw(self, step: int, generator: Uniforms, shard: Shard) -> NDArray[np.int64]:
        """See Sampling."""
        own = np.arange(shard.rank, self.records, shard.world)
        part: NDArray[np.int64] = own[_order(self.records, self.seed)[own] % self.parts == step % self.parts]
        return part[generator.random(len(part)) < self.rate]


@lru_cache(maxsize=2)
def _order(records: int, seed: int) -> NDArray[np.int64]:
    """Mixes records, so that no part is all of one class where classes alternate."""
    return np.random.default_rng(seed).permutation(records)
