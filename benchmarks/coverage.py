"""What error each interval method really has: how often an end lies on the wrong side of the truth, by method and n.

Each side of a 95 % interval may err in 2.5 % of all audits. A lower end above the truth t passes `min: t` and blocks
`max: t` falsely, an upper end below it the other way about. The bound is 1.5 times the nominal error on either side.
Intervals that are not given, or not on that side, decide nothing: they are counted as undecided.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from benchmarks.coverage_truths import TRUTHS, Truth
from benchmarks.report import Cell

PEERS = ("scipy",)
BOUND = 1.5
SLACK = 1e-9
"""Ends and truths that are the same number differ by rounding."""


def run() -> list[Cell]:
    """A cell for each method, truth and number of cases: the larger error of the two sides against the nominal one."""
    jobs = sorted(((at, n) for at, truth in enumerate(TRUTHS) for n in truth.sizes), key=lambda job: -job[1])
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        cells = dict(zip(jobs, pool.map(_job, jobs), strict=True))
    return [cells[at, n] for at, truth in enumerate(TRUTHS) for n in truth.sizes]


def _job(job: tuple[int, int]) -> Cell:
    return cell(TRUTHS[job[0]], job[1])


def cell(truth: Truth, n: int) -> Cell:
    """The error of one method at one truth and size."""
    above = below = undecided = total = 0.0
    for weight, low, high, value in _outcomes(truth, n):
        above += weight * (low > value + SLACK)
        below += weight * (high < value - SLACK)
        undecided += weight * (math.isinf(low) and math.isinf(high))
        total += weight
    above, below, undecided = above / total, below / total, undecided / total
    replicates = truth.replicates(n)
    worst = max(above, below)
    extra = {
        "method": truth.method,
        "truth": truth.name,
        "n": n,
        "false pass of min, false block of max": _short(above),
        "false pass of max, false block of min": _short(below),
        "coverage": _short(1 - above - below),
        "undecided": _short(undecided),
        **({"beyond": True} if truth.beyond else {}),
        "replicates": replicates or "exact",
        "standard error": _short(math.sqrt(worst * (1 - worst) / replicates)) if replicates else 0.0,
    }
    name = f"{truth.method}: {truth.name}, n = {n}"
    return Cell(name, worst, truth.nominal, BOUND, lower_is_better=True, extra=extra)


def _outcomes(truth: Truth, n: int) -> Iterator[tuple[float, float, float, float]]:
    """Weight, low, high (infinite where there is none) and the true value of each outcome."""
    rng = np.random.default_rng([n, *truth.name.encode()])
    if truth.exact is not None and not truth.replicates(n):
        yield from truth.exact(n)
        return
    for _ in range(truth.replicates(n)):
        yield 1.0, *truth.draw(rng, n)


def _short(number: float) -> float:
    return float(f"{number:.3g}")
