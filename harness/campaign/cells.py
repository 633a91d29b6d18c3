"""Work on one cell after the other; one that fails is named and costs no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from harness.base.loglines import plain
from harness.base.numbers import duration
from harness.errors import AssayError

C = TypeVar("C")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a cell has no result."""

    reason: str


@dataclass(frozen=True, slots=True)
class Work:
    """What is told of one cell's work.

    Attributes:
        words: what came of it.
        is_new: whether it took as long as such work takes; what was there before tells nothing about the time left.
    """

    words: str
    is_new: bool


def each_cell(
    cells: Sequence[C],
    name: Callable[[C], str],
    work: Callable[[C], tuple[T, Work]],
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[C, T | Failure]]:
    """Each cell with what `work` made of it, in order; `say` hears where it is, what came of it, and the time left."""
    seconds: list[float] = []
    for index, cell in enumerate(cells, start=1):
        place = f"{index} of {len(cells)}: {name(cell)}"
        say(f"{place}{_left(seconds, len(cells) - index + 1)}")
        started = time.monotonic()
        try:
            made, told = work(cell)
        except Exception as error:  # whatever it is, hours of other cells must not be lost to it
            reason = plain(error if isinstance(error, AssayError) else f"{type(error).__name__}: {error}")
            say(f"{place}: failed: {reason}")
            yield cell, Failure(reason)
            continue
        if told.is_new:
            seconds.append(time.monotonic() - started)
        say(f"{place}: {told.words}")
        yield cell, made


def _left(seconds: list[float], cells: int) -> str:
    """How long it may still take, by the mean of the cells worked on so far."""
    return f", about {duration(cells * sum(seconds) / len(seconds))} left" if seconds else ""
