"""Runs attacks on many cases at once, in this process or in workers; the rows are the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from suites.adversarial.pooled.broker import Broker
from suites.adversarial.pooled.fibres import Finished
from suites.adversarial.pooled.rounds import run_fibres
from suites.adversarial.pooled.workers import Make, Work, Workers


def run_pool(
    jobs: Sequence[tuple[Any, int]],
    make: Make,
    work: Work,
    broker: Broker,
    *,
    concurrent: int,
    workers: int = 0,
    limit: float | None = None,
    ahead: bool = False,
) -> Iterator[Finished[Any, Any]]:
    """Each job (with its seed) once, in the order they end; `concurrent` at a time, over all processes.

    `ahead`: attacks in this process search while the broker computes; not for attacks that use a model themselves.
    """
    concurrent = min(concurrent, len(jobs))
    if workers == 0:
        yield from run_fibres(jobs, make(concurrent), work, broker.answer, limit=limit, ahead=ahead)
        return
    count = min(workers, concurrent)
    pool = Workers(count, make, work, -(-concurrent // count), limit)
    try:
        yield from pool.run(jobs, broker)
    finally:
        pool.close()
