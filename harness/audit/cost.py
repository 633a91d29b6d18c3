"""How long an audit may take: tokens to read times operations per token over what the processor does."""

from __future__ import annotations

import time

from harness.audit.plan import PlannedProbe

SIDE = 1024
EFFICIENCY = 0.5
"""Share of the matrix-product speed that a transformer's forward pass reaches, roughly."""


def cpu_flops() -> float:
    """Floating-point operations per second of one fp32 matrix product on this CPU, best of three."""
    import torch

    left, right = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * SIDE**3 / best


def seconds_on_cpu(planned: PlannedProbe, parameters: int, flops: float) -> float:
    """Order of magnitude of a probe's model time: 2 operations per parameter and token."""
    return 2 * parameters * planned.probe.cost(planned.cases) / (EFFICIENCY * flops)
