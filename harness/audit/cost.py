"""What an audit takes: time, as tokens to read times operations per token over what the processor does, and memory."""

from __future__ import annotations

import time

import numpy as np

from harness.audit.models import distinct
from harness.audit.plan import AuditPlan, PlannedProbe
from harness.checkpoint.hardware import ITEMSIZE

SIDE = 1024
EFFICIENCY = 0.5
"""Share of the matrix-product speed that a transformer's forward pass reaches, roughly."""


def cpu_flops() -> float:
    """Floating-point operations per second of one fp32 matrix product on this CPU, best of three.

    By numpy, whose libraries reach what torch's do and load in a tenth of the time.
    """
    draw = np.random.default_rng(0)
    left, right = draw.random((SIDE, SIDE), np.float32), draw.random((SIDE, SIDE), np.float32)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * SIDE**3 / best


def seconds_on_cpu(planned: PlannedProbe, parameters: int, flops: float) -> float:
    """Order of magnitude of a probe's model time, all its models: 2 operations per parameter and token."""
    work = parameters * planned.probe.cost(planned.cases)
    work += sum(planned.models[role].info.parameters * tokens for role, tokens in other_tokens(planned).items())
    return 2 * work / (EFFICIENCY * flops)


def other_tokens(planned: PlannedProbe) -> dict[str, int]:
    """Tokens that each other model of a probe will read, roughly, by role."""
    tokens = planned.probe.model_costs(planned.cases) if planned.models else {}
    return {role: tokens.get(role, 0) for role in planned.models}


def weight_bytes(plan: AuditPlan) -> int:
    """Most memory that the weights of all models together take: all stay loaded; 'auto' counts as fp32, the largest."""
    sizes = [(plan.info.parameters, plan.spec.dtype)]
    sizes += [(each.info.parameters, each.dtype) for each in distinct(planned.models for planned in plan.probes)]
    return sum(parameters * ITEMSIZE.get(dtype, ITEMSIZE["fp32"]) for parameters, dtype in sizes)
