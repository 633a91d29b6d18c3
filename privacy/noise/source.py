"""Where the noise of a step comes from."""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch
from opacus.optimizers.optimizer import _generate_noise


class NoiseSource(Protocol):
    """Adds noise to the clipped sums of a step, one parameter after the other."""

    last: ClassVar[bool]
    """Whether nothing may be added to what it released: it is on a grid, and another process' sums are not."""

    def add(self, summed: torch.Tensor, deviation: float, place: int) -> None:
        """Add noise of that standard deviation to `summed`, in place; `place` tells the parameters apart."""
        ...

    def number(self, value: float, deviation: float) -> float:
        """A single number with noise."""
        ...


class GeneratorNoise:
    """Independent noise of a torch generator."""

    last: ClassVar[bool] = False

    def __init__(self, generator: torch.Generator | None, *, summed_up: bool = False) -> None:
        """`summed_up`: Opacus' secure mode, for generators that cannot be foretold (arXiv 2107.10138)."""
        self.generator = generator
        self._summed_up = summed_up

    def add(self, summed: torch.Tensor, deviation: float, place: int) -> None:
        """See NoiseSource."""
        summed.add_(_generate_noise(deviation, summed, self.generator, self._summed_up))

    def number(self, value: float, deviation: float) -> float:
        """See NoiseSource."""
        device = None if self.generator is None else self.generator.device
        return value + deviation * float(torch.randn((), generator=self.generator, dtype=torch.float64, device=device))
