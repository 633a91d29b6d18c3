"""Noise and coins from the operating system's cryptographic generator, and no noise that rounding gives away.

Noise in floating point has holes: which numbers can come out tells of the sum beneath it (Mironov 2012). So sum and
noise are whole multiples of one grid step, and what is released is a function of a whole number: the rounded sum plus a
discrete Gaussian, which is drawn exactly. Its Rényi divergences are at most those of the Gaussian (Canonne, Kamath &
Steinke 2020). The numerical accountants hold for the Gaussian rounded to the grid, a post-processing of it; chances of
the discrete one differ from those by a factor below exp(1e-15) up to ten deviations: 2e-6 in epsilon for a billion.
"""

from __future__ import annotations

import math
import os
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from harness.errors import UsageError
from privacy.noise.discrete import SIGMA_BITS, discrete_gaussian

_FINEST = 53
"""Bits of a uniform double."""
_MOST_LOST = 0.5
"""Share of the noise that rounding may need."""
_COUNTED = 1 + 2.0**-16
"""Raises the noise of a single number enough for noise of up to 1024 of its sensitivity."""


class SecureUniforms:
    """Coins for sampling, from the operating system; see sampling.Uniforms."""

    def random(self, size: int) -> NDArray[np.float64]:
        """Uniform multiples of 2^-53 in [0, 1) [size]."""
        return (system_words(size) >> np.uint64(64 - _FINEST)).astype(np.float64) * 2.0**-_FINEST


class SecureNoise:
    """Discrete Gaussian noise, drawn on the CPU; see NoiseSource.

    Rounding to the grid moves neighbouring sums apart by up to a step in each number, for which noise is raised: by
    0.015 % at a hundred million numbers and noise multiplier 1.
    """

    last: ClassVar[bool] = True

    def __init__(self, numbers: int, noise_multiplier: float) -> None:
        """For sums of that many numbers in all. Raises UsageError where they are too many for the grid."""
        lost = noise_multiplier * math.sqrt(numbers) / 2**SIGMA_BITS
        if lost >= _MOST_LOST:
            raise UsageError(
                f"secure noise of multiplier {noise_multiplier:g} on {numbers} trained weights is too coarse to be "
                "accounted for; lower the noise, train fewer weights, or leave secure out"
            )
        self._raised = 1 / (1 - lost)

    def add(self, summed: torch.Tensor, deviation: float, place: int) -> None:
        """See NoiseSource. What is not finite stays so; deviation 0 leaves the sum alone."""
        if deviation == 0:
            return
        step = deviation * self._raised / 2**SIGMA_BITS
        values = summed.detach().to("cpu", torch.float64).numpy().ravel()
        drawn = discrete_gaussian(values.size, system_words)
        released = (np.rint(values / step) + drawn) * step  # whole numbers are exact up to 2^53: 2^27 deviations
        summed.copy_(torch.from_numpy(released).view(summed.shape))

    def number(self, value: float, deviation: float) -> float:
        """See NoiseSource; on a grid too: added afterwards, `value` would stand in what lies between its points."""
        held = torch.tensor([value], dtype=torch.float64)
        self.add(held, deviation * _COUNTED, 0)
        return float(held)


def system_words(count: int) -> NDArray[np.uint64]:
    """Words of 64 bits from the operating system, which nobody can replay [count]."""
    return np.frombuffer(bytearray(os.urandom(8 * count)), dtype=np.uint64)
