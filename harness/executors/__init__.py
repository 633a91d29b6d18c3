"""Where cases run. An executor turns jobs into rows, some at a time; the audit makes them durable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from harness.api.job import Done, Job
from harness.executors.bench import AtHand, Bench, FromSources
from harness.executors.job import run_job
from harness.executors.local import LocalExecutor, in_parts

__all__ = ["AtHand", "Bench", "Executor", "FromSources", "in_parts", "make_executor", "run_job"]


class Executor(Protocol):
    """Runs jobs."""

    def run(self, job: Job) -> Iterator[Done]:
        """What is finished, as it comes; exactly one row per case over all of it."""
        ...


def make_executor(name: str, bench: Bench) -> Executor:
    """The executor a spec names."""
    return {"local": LocalExecutor}[name](bench)
