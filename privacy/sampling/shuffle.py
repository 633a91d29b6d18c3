"""Shuffled epochs, with the only guarantee that is proven for them: that of an order the adversary knows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from privacy.accounting.mechanism import Mechanism
from privacy.sampling.epochs import EpochBatches
from privacy.sampling.generator import Uniforms
from privacy.sampling.shard import Shard


@dataclass(frozen=True, slots=True)
class ShuffledSampling(EpochBatches):
    """Each epoch is a plain permutation cut into batches; each record is in one batch of each epoch (see Sampling).

    The order comes from `seed` and the epoch alone, never from the records (windows sorted by length would let one
    record's length move the others): so it needs no secrecy, is the same on all ranks, and goes on after a crash
    in mid-epoch without taking a record twice. Raises SamplingError as PoissonSampling does.
    Source, why not the Poisson rate: Chua et al. 2024 (arXiv 2403.17673).
    """

    seed: int = 0

    label: ClassVar[str] = "shuffled, no amplification"
    neighbours: ClassVar[str] = "replace one record by nothing (zero-out)"
    alone: ClassVar[bool] = False

    def mechanism(self, noise_multiplier: float, steps: int | None = None, group: int = 1) -> Mechanism:
        """One Gaussian mechanism for each epoch begun (see Sampling).

        The records of a group move the sums of an epoch most when they share a batch: by `group` clipping norms.
        """
        begun = self.epochs_begun(steps)
        return Mechanism(noise_multiplier=noise_multiplier, rate=1.0, compositions=begun, group=group)

    def draw(self, step: int, generator: Uniforms, shard: Shard) -> NDArray[np.int64]:
        """See Sampling; `generator` is left alone. The batch is dealt out to the ranks evenly."""
        epoch, place = divmod(step, self.steps_per_epoch)
        start = place * self.batch_size
        return _order(self.records, self.seed, epoch)[start : start + self.batch_size][shard.rank :: shard.world].copy()


@dataclass(frozen=True, slots=True)
class ShuffledOnceSampling(ShuffledSampling):
    """ShuffledSampling with the order of the first epoch in all: a record's steps are `steps_per_epoch` apart."""

    label: ClassVar[str] = "shuffled once, no amplification"

    def draw(self, step: int, generator: Uniforms, shard: Shard) -> NDArray[np.int64]:
        """See Sampling."""
        return ShuffledSampling.draw(self, step % self.steps_per_epoch, generator, shard)


@lru_cache(maxsize=2)
def _order(records: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(records)
