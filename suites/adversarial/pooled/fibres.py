"""An attack in a greenlet: it pauses where it asks, so that many take turns in one thread."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from greenlet import GreenletExit, getcurrent, greenlet

from suites.adversarial.pooled.broker import Reply, Request

Job = TypeVar("Job")
Slot = TypeVar("Slot")
Result = TypeVar("Result")


class OutOfTime(Exception):  # noqa: N818  says what happened
    """An attack used up the seconds it was given."""


@dataclass(slots=True)
class Clock:
    """Seconds of one attack: waiting for each channel (its share of the work), and its own up to its last pause.

    `limit` ends it; `resumed` says since when it runs, None while it does not.
    """

    limit: float | None = None
    own: float = 0.0
    waited: dict[str, float] = field(default_factory=dict)
    resumed: float | None = None

    @property
    def total(self) -> float:
        """Own seconds, those of now included, and the share of others' work."""
        running = 0.0 if self.resumed is None else time.perf_counter() - self.resumed
        return self.own + running + sum(self.waited.values())

    def resume(self) -> None:
        """From now on own seconds are counted."""
        self.resumed = time.perf_counter()

    def pause(self) -> None:
        """The seconds since `resume` were own ones."""
        assert self.resumed is not None
        self.own += time.perf_counter() - self.resumed
        self.resumed = None

    def check(self) -> None:
        """Raises OutOfTime."""
        if self.limit is not None and self.total > self.limit:
            raise OutOfTime(f"the limit of {self.limit:g} seconds for one text was reached")


@dataclass(frozen=True, slots=True)
class Finished(Generic[Job, Result]):
    """What became of a job: a result, or what it raised."""

    job: Job
    clock: Clock
    result: Result | None = None
    error: Exception | None = None


class Fibre(Generic[Job, Slot, Result]):
    """One attack with random numbers and a clock of its own."""

    def __init__(self, job: Job, slot: Slot, work: Callable[[Slot, Job], Result], seed: int, limit: float | None):
        self.job, self.slot, self.clock = job, slot, Clock(limit)
        self.waiting_for: Request | None = None
        self.finished: Finished[Job, Result] | None = None
        self._random = _seeded(seed)
        self._greenlet = greenlet(lambda: work(slot, job))

    def advance(self, reply: Reply | None) -> None:
        """Run until the next request or the end. Raises what is not an Exception (KeyboardInterrupt)."""
        before = _get_random()
        _set_random(self._random)
        _running.append(self.clock)
        self.clock.resume()
        try:
            asked = self._greenlet.switch() if reply is None else self._greenlet.switch(reply)
        except Exception as error:  # a finding about this attack, for the caller to judge
            self.finished = Finished(self.job, self.clock, error=error)
        else:
            if self._greenlet.dead:
                self.finished = Finished(self.job, self.clock, result=asked)
            else:
                self.waiting_for = asked
        finally:
            self.clock.pause()
            _running.pop()
            self._random = _get_random()
            _set_random(before)

    def stop(self) -> None:
        """End an attack that still waits."""
        if not self._greenlet.dead:
            self._greenlet.throw(GreenletExit)


_running: list[Clock] = []


def check_time() -> None:
    """Raises OutOfTime inside an attack that has used up its seconds; elsewhere nothing happens."""
    if _running:
        _running[-1].check()


def ask(channel: str, items: Sequence[Hashable]) -> tuple[Any, ...]:
    """Answers to `items`, from inside an attack. Raises the first answer that is an Exception, and OutOfTime."""
    clock = _running[-1]
    clock.check()
    reply: Reply = getcurrent().parent.switch(Request(channel, tuple(items)))
    clock.waited[channel] = clock.waited.get(channel, 0.0) + reply.seconds
    for answer in reply.answers:
        if isinstance(answer, Exception):
            raise answer
    return reply.answers


RandomState = tuple[Any, Any]
"""States of Python's and numpy's global generators, the ones TextAttack draws from."""


def _seeded(seed: int) -> RandomState:
    return random.Random(seed).getstate(), np.random.RandomState(seed).get_state()


def _get_random() -> RandomState:
    return random.getstate(), np.random.get_state()


def _set_random(state: RandomState) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])
