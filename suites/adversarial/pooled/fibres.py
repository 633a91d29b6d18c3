"""Runs many attacks in one thread: each in a greenlet that pauses where it asks, until a whole round is answered."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
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
    """Seconds of one attack: waiting for each channel (its share of the work), and its own. `limit` ends it."""

    limit: float | None = None
    own: float = 0.0
    waited: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """Own seconds and the share of others' work."""
        return self.own + sum(self.waited.values())

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


class _Fibre(Generic[Job, Slot, Result]):
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
        start = time.perf_counter()
        _running.append(self.clock)
        try:
            asked = self._greenlet.switch() if reply is None else self._greenlet.switch(reply)
        except Exception as error:  # a finding about this attack, for the caller to judge
            self.clock.own += time.perf_counter() - start
            self.finished = Finished(self.job, self.clock, error=error)
        else:
            self.clock.own += time.perf_counter() - start
            if self._greenlet.dead:
                self.finished = Finished(self.job, self.clock, result=asked)
            else:
                self.waiting_for = asked
        finally:
            _running.pop()
            self._random = _get_random()
            _set_random(before)

    def stop(self) -> None:
        """End an attack that still waits."""
        if not self._greenlet.dead:
            self._greenlet.throw(GreenletExit)


_running: list[Clock] = []


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


def run_fibres(
    jobs: Iterable[tuple[Job, int]],
    slots: Sequence[Slot],
    work: Callable[[Slot, Job], Result],
    serve: Callable[[Sequence[Request]], Sequence[Reply]],
    *,
    limit: float | None = None,
) -> Generator[Finished[Job, Result], None, None]:
    """Each job (with the seed of its random numbers) once, at most one per slot at a time, in the order they end.

    `serve` gets one request of every attack that waits. Jobs are taken only when a slot is free.
    """
    todo, free = iter(jobs), list(slots)
    active: list[_Fibre[Job, Slot, Result]] = []
    try:
        while True:
            active += _start(todo, free, work, limit)
            if not active:
                return
            for fibre in active:
                if fibre.finished is None and fibre.waiting_for is None:
                    fibre.advance(None)
            yield from _ended(active, free)
            requests = [fibre.waiting_for for fibre in active if fibre.waiting_for is not None]
            waiting = list(active)
            for fibre, reply in zip(waiting, serve(requests) if requests else (), strict=True):
                fibre.waiting_for = None
                fibre.advance(reply)
            yield from _ended(active, free)
    finally:
        for fibre in active:
            fibre.stop()


def _start(
    todo: Iterator[tuple[Job, int]], free: list[Slot], work: Callable[[Slot, Job], Result], limit: float | None
) -> list[_Fibre[Job, Slot, Result]]:
    started = []
    while free:
        got = next(todo, None)
        if got is None:
            break
        job, seed = got
        started.append(_Fibre(job, free.pop(), work, seed, limit))
    return started


def _ended(active: list[_Fibre[Job, Slot, Result]], free: list[Slot]) -> Iterator[Finished[Job, Result]]:
    for fibre in [fibre for fibre in active if fibre.finished is not None]:
        active.remove(fibre)
        free.append(fibre.slot)
        assert fibre.finished is not None
        yield fibre.finished


RandomState = tuple[Any, Any]
"""States of Python's and numpy's global generators, the ones TextAttack draws from."""


def _seeded(seed: int) -> RandomState:
    return random.Random(seed).getstate(), np.random.RandomState(seed).get_state()


def _get_random() -> RandomState:
    return random.getstate(), np.random.get_state()


def _set_random(state: RandomState) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])
