"""How long two ways to do the same work take, by the wall's clock or the processor's."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Of one call, by the clock."""
    start = clock()
    work()
    return clock() - start


def alternate(
    ours: Callable[[], object],
    peer: Callable[[], object],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Median seconds of each, in turns, so that a busy machine slows both; each is called once before to warm up."""
    ours(), peer()
    times = [(seconds(ours, clock), seconds(peer, clock)) for _ in range(repeats)]
    return median(mine for mine, _ in times), median(other for _, other in times)
