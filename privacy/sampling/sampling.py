"""The contract of a way to sample."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from privacy.accounting.mechanism import Mechanism
from privacy.sampling.errors import SamplingError
from privacy.sampling.generator import Uniforms
from privacy.sampling.shard import Shard


class Sampling(Protocol):
    """Draws logical batches, and says what an accountant must count for them."""

    label: ClassVar[str]
    """What a report calls it."""
    neighbours: ClassVar[str]
    """How the data sets differ that the guarantee compares."""

    alone: ClassVar[bool]
    """Whether one process has to draw for all."""

    @property
    def records(self) -> int:
        """Size of the whole data set; treated as public."""
        ...

    @property
    def steps(self) -> int:
        """Logical steps planned."""
        ...

    @property
    def expected_batch_size(self) -> int:
        """Records over all ranks that clipped sums are divided by: a constant, never the records drawn."""
        ...

    def mechanism(self, noise_multiplier: float, steps: int | None = None, group: int = 1) -> Mechanism:
        """What `steps` noisy steps are (default: all planned), for units of `group` records each."""
        ...

    def draw(self, step: int, generator: Uniforms, shard: Shard) -> NDArray[np.int64]:
        """Indices, in the whole data set, of this rank's records in logical step `step`; may be none."""
        ...


def check_counts(**counts: int) -> None:
    """Raise SamplingError for a count below 1."""
    for name, count in counts.items():
        if count < 1:
            raise SamplingError(f"{name.replace('_', ' ')}: {count} is too few to train on; give at least 1")


def check_batch(batch_size: int, records: int) -> None:
    """Raise SamplingError for a batch larger than the data."""
    if batch_size > records:
        raise SamplingError(
            f"the batch of {batch_size} records is larger than the data ({records} records); "
            f"lower batch_size to {records} or less"
        )


def check_steps(steps: int, planned: int) -> int:
    """`steps`. Raises SamplingError when they are not among those planned."""
    if not 0 <= steps <= planned:
        raise SamplingError(f"{steps} steps are not among the {planned} planned; plan the run that was taken")
    return steps


def check_alone(sampling: Sampling, processes: int) -> None:
    """Raise SamplingError where one process has to draw, but there are others."""
    if sampling.alone and processes > 1:
        raise SamplingError(
            f"{sampling.label} sampling is drawn by one process, not by {processes}, of which none knows what the "
            "others drew; start one, or take sampling: poisson"
        )
