"""Noise in the sum of all steps at equal epsilon: correlated noise against independent noise, by sampling.

What is compared is computed, not trained: the root mean square of the noise in each coordinate of the sum over all
steps, in clipping norms. Of plain gradient descent with one learning rate that is the noise of the last weights.
The peer is independent noise with Poisson sampling, what DP-SGD usually means; ours is banded noise, amplified.
"""

from __future__ import annotations

import math

from benchmarks.report import Cell
from privacy.accounting import Mechanism, calibrate_mechanism
from privacy.noise.banded import final_ratio

PEERS = ("opacus", "dp-accounting")
DELTA = 1e-6
RUNS = ((100, 1), (500, 1), (500, 4), (2000, 1))
"""Steps an epoch, epochs."""
EPSILONS = (1.0, 3.0, 8.0)
FEW = (2, 4, 8, 16)
"""Bands that any model has memory for, nearly."""
MANY = (*FEW, 64, 256)


def run() -> list[Cell]:
    """Each run at each epsilon."""
    return [_cell(once, epochs, epsilon) for once, epochs in RUNS for epsilon in EPSILONS]


def _cell(once: int, epochs: int, epsilon: float) -> Cell:
    steps = once * epochs

    def left(mechanism: Mechanism, bands: int = 1) -> float:
        return calibrate_mechanism(epsilon, DELTA, mechanism) * math.sqrt(steps) * final_ratio(bands, steps)

    shuffled = Mechanism(1.0, 1.0, epochs)
    amplified = {
        bands: left(Mechanism(1.0, bands / once, -(-steps // bands)), bands) for bands in MANY if bands <= once
    }
    few = min(FEW, key=lambda bands: amplified[bands])
    many = min(amplified, key=lambda bands: amplified[bands])
    others = {
        "Poisson, many bands": amplified[many],
        "shuffle, independent": left(shuffled),
        "shuffle, 16 bands": left(shuffled, 16),
        "shuffle, up to 256 bands": left(shuffled, min(once, 256)),
        "balls in bins, independent": left(Mechanism(1.0, 1 / once, epochs, bins=once)),
    }
    extra = {
        "unit": "clipping norms",
        "bands": few,
        "many bands": many,
        **{name: float(f"{value:.4g}") for name, value in others.items()},
    }
    case = f"{once} steps x {epochs} epochs, epsilon {epsilon:g}"
    return Cell(case, amplified[few], left(Mechanism(1.0, 1 / once, steps)), lower_is_better=True, extra=extra)
