"""Where the noise of a step comes from."""

from __future__ import annotations

from typing import Protocol

import torch
from opacus.optimizers.optimizer import _generate_noise


class NoiseSource(Protocol):
    """Adds noise to the clipped sums of a step, one parameter after the other."""

    def add(self, summed: torch.Tensor, deviation: float, place: int) -> None:
        """Add noise of that standard deviation to `summed`, in place; `place` tells the parameters apart."""
        ...

    def number(self, deviation: float) -> float:
        """Noise for a single number."""
        ...


class GeneratorNoise:
    """Independent noise of a torch generator."""

    def __init__(self, generator: torch.Generator | None, *, summed_up: bool = False) -> None:
        """`summed_up`: Opacus' secure mode, for generators that cannot be foretold (arXiv 2107.10138)."""
        self.generator = generator
        self._summed_up = summed_up

    def add(self, summed: torch.Tensor, deviation: float, place: int) -> None:
        """See NoiseSource."""
        summed.add_(_generate_noise(deviation, summed, self.generator, self._summed_up))

    def number(self, deviation: float) -> float:
        """See NoiseSource."""
        device = None if self.generator is None else self.generator.device
        return deviation * float(torch.randn((), generator=self.generator, dtype=torch.float64, device=device))
