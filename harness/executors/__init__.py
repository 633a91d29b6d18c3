"""Where cases run. An executor turns cases into rows, chunk by chunk; the audit makes each chunk durable."""

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
        """One list of rows per finished chunk; exactly one row per case over all chunks."""
        ...


def make_executor(name: str) -> Executor:
    """The executor a spec names."""
    return {"local": LocalExecutor}[name]()
