"""Balls in bins: every record in one step of each epoch, drawn anew each time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from privacy.accounting.mechanism import Mechanism
from privacy.sampling.epochs import EpochBatches
from privacy.sampling.generator import Uniforms
from privacy.sampling.poisson import PoissonSampling
from privacy.sampling.shard import Shard


@dataclass(frozen=True, slots=True)
class BallsInBinsSampling(EpochBatches):
    """Each record is in one step of each epoch, which is drawn uniformly and independently of all others.

    See Sampling. Who is in which step is drawn when an epoch begins and never saved: where another process left off
    in mid-epoch, the rest of that epoch holds no records, since a record drawn again would be in it twice.
    Raises SamplingError as PoissonSampling does. Source: see accounting/bins.py.
    """

    _drawn: dict[Shard, tuple[int, NDArray[np.int64]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Of each shard the epoch begun last, and the steps of its records."""

    label: ClassVar[str] = "balls-in-bins"
    neighbours: ClassVar[str] = PoissonSampling.neighbours
    alone: ClassVar[bool] = False

    def mechanism(self, noise_multiplier: float, steps: int | None = None, group: int = 1) -> Mechanism:
        """One composition for each epoch begun (see Sampling); for single records only."""
        bins = self.steps_per_epoch
        return Mechanism(noise_multiplier, 1 / bins, self.epochs_begun(steps), group, bins=bins)

    def draw(self, step: int, generator: Uniforms, shard: Shard) -> NDArray[np.int64]:
        """See Sampling; the first step of an epoch draws all of it, steps of one that did not begin here are empty."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if place == 0:
            drawn = (generator.random(shard.size(self.records)) * self.steps_per_epoch).astype(np.int64)
            self._drawn[shard] = (epoch, np.minimum(drawn, self.steps_per_epoch - 1))  # a product may round up
        begun, bins = self._drawn.get(shard, (-1, np.empty(0, dtype=np.int64)))
        if begun != epoch:
            return np.empty(0, dtype=np.int64)
        return np.flatnonzero(bins == place) * shard.world + shard.rank
