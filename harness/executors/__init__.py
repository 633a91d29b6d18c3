"""Where cases run. An executor turns cases into rows, some at a time; the audit makes them durable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from harness.api.case import Case
from harness.api.probe import Probe, RowDict
from harness.api.scorer import Scorer
from harness.executors.local import LocalExecutor

__all__ = ["Executor", "make_executor"]


class Executor(Protocol):
    """Runs the cases of one probe."""

    def run(self, probe: Probe[Any], scorer: Scorer, cases: Sequence[Case]) -> Iterator[list[RowDict]]:
        """Rows as they are finished; exactly one per case over all lists."""
        ...


def make_executor(name: str) -> Executor:
    """The executor a spec names."""
    return {"local": LocalExecutor}[name]()
