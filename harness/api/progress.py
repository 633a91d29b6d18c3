"""How long work tells what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

OnStep = Callable[[int, int, float], None]
"""Called after each optimizer step with: steps taken, steps planned, mean loss of the last steps, nats per record.

Before the first step the loss is no number, and the counts are of records read by a frozen model; 0 of 0 while records
are compared alone and together.
"""
OnProgress = Callable[[str, int, int], None]
"""Called with what is worked on (a probe, a text), finished cases, planned cases."""


@contextmanager
def _silent() -> Iterator[Callable[..., None]]:
    yield lambda *_: None


@dataclass(frozen=True, slots=True)
class Watch:
    """Work of several trainings and audits: a line per stage, and what shows the steps of one or the cases of other."""

    say: Callable[[str], None] = lambda _: None
    training: Callable[[], AbstractContextManager[OnStep]] = _silent
    cases: Callable[[], AbstractContextManager[OnProgress]] = _silent
