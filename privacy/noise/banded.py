"""Noise that later steps take back in part: correlated over a band of steps, for runs without amplification.

What is released are the sums G plus C^-1 Z, as good as C G plus Z with independent Z: C is lower triangular, has ones
on its diagonal and falls off below it within `bands` steps, and Z has as much more noise as the columns of C are longer
than 1. A record that is in steps at least `bands` apart moves columns that do not overlap, so its guarantee is that of
one Gaussian release in each of them; that holds for sums that depend on what was released before (Denisov et al. 2022,
arXiv 2202.08312; Choquette-Choo et al. 2023, arXiv 2306.08153). The coefficients are the first ones of (1 - x)^(-1/2),
which need no optimiser (Kalinin & Lampert 2024, arXiv 2405.13763).

A run that goes on after a stop begins with no noise to take back: C falls into two blocks, no column of which is longer
or overlaps more than before. So nothing of the noise is ever saved.
"""

from __future__ import annotations

import math
from collections import deque
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from privacy.noise.source import GeneratorNoise

MOST_CHOSEN = 16
"""Bands that are chosen at most unasked: each but one keeps noise as large as the trained weights in memory."""

Floats = NDArray[np.float64]


def coefficients(bands: int) -> Floats:
    """First column of C, from the diagonal down [bands]."""
    places = np.arange(1, bands)
    return np.concatenate([[1.0], np.cumprod((2 * places - 1) / (2 * places))])


def column_norm(bands: int) -> float:
    """Length of a column of C, by which Z is raised."""
    return float(np.linalg.norm(coefficients(bands)))


def noise_ratio(bands: int, steps: int) -> float:
    """Error of the sums over the first 1, 2, ... `steps` steps, root mean square, over that of independent noise."""
    squares = np.cumsum(np.cumsum(_inverse(bands, steps)) ** 2)
    return column_norm(bands) * math.sqrt(float(squares.mean()) / ((steps + 1) / 2))


def final_ratio(bands: int, steps: int) -> float:
    """The same of the sum over all steps alone."""
    squares = np.cumsum(_inverse(bands, steps)) ** 2
    return column_norm(bands) * math.sqrt(float(squares.sum()) / steps)


def best_bands(steps: int, most: int) -> int:
    """Bands up to `most` and MOST_CHOSEN with the least noise_ratio."""
    return min(range(1, min(most, MOST_CHOSEN) + 1), key=lambda bands: noise_ratio(bands, steps))


def _inverse(bands: int, steps: int) -> Floats:
    """First column of C^-1 [steps]."""
    from scipy.signal import lfilter

    impulse = np.zeros(steps)
    impulse[0] = 1.0
    return np.asarray(lfilter([1.0], coefficients(bands), impulse), dtype=np.float64)


class BandedNoise:
    """C^-1 Z, a row for each step, by the rows before it; see NoiseSource. For one deviation in all steps."""

    last: ClassVar[bool] = False

    def __init__(self, bands: int, independent: GeneratorNoise) -> None:
        """`independent` is what Z is drawn from."""
        self._below = coefficients(bands)[1:].tolist()
        self._norm = column_norm(bands)
        self._independent = independent
        self._before: dict[int, deque[torch.Tensor]] = {}
        """Of each parameter the noise of the last steps, the latest first; in memory only."""

    def add(self, summed: torch.Tensor, deviation: float, place: int) -> None:
        """See NoiseSource; called once a step for each place."""
        noise = torch.zeros_like(summed)
        self._independent.add(noise, deviation * self._norm, place)
        before = self._before.setdefault(place, deque(maxlen=len(self._below)))
        for weight, earlier in zip(self._below, before, strict=False):
            noise.sub_(earlier, alpha=weight)
        before.appendleft(noise)
        summed.add_(noise)

    def number(self, value: float, deviation: float) -> float:
        """See NoiseSource; independent."""
        return self._independent.number(value, deviation)
