"""Runs many attacks in turns: all search until they ask, then a whole round of questions is answered together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Generic

from suites.adversarial.pooled.broker import Reply, Request
from suites.adversarial.pooled.fibres import Fibre, Finished, Job, Result, Slot

Serve = Callable[[Sequence[Request]], Sequence[Reply]]
"""One reply per request."""
_SWITCH_SECONDS = 2e-4


def run_fibres(
    jobs: Iterable[tuple[Job, int]],
    slots: Sequence[Slot],
    work: Callable[[Slot, Job], Result],
    serve: Serve,
    *,
    limit: float | None = None,
    ahead: bool = False,
) -> Generator[Finished[Job, Result], None, None]:
    """Each job (with the seed of its random numbers) once, at most one per slot at a time, in the order they end.

    `serve` gets one request of every attack that waits. Jobs are taken only when a slot is free. `ahead`: half of the
    attacks search while `serve` answers the other half, in a thread of its own; it rests while the caller has a result.
    """
    todo = iter(jobs)
    halves = [slots[::2], slots[1::2]] if ahead and len(slots) > 1 else [slots]
    groups: list[_Group[Job, Slot, Result]] = [_Group(list(half)) for half in halves]
    server = _Ahead(serve) if len(groups) > 1 else _AtOnce(serve)
    try:
        while True:
            started = 0
            for group in groups:
                group.take_answers()
                yield from group.ended(server)
                started += group.start(todo, work, limit)
                yield from group.ended(server)
                group.ask(server)
            if not started and not any(group.active for group in groups):
                return
    finally:
        server.close()
        for group in groups:
            group.stop()


class _Group(Generic[Job, Slot, Result]):
    """Attacks whose requests are answered together."""

    def __init__(self, free: list[Slot]) -> None:
        self.active: list[Fibre[Job, Slot, Result]] = []
        self._free = free
        self._answers: Future[Sequence[Reply]] | None = None

    def ask(self, server: _Server) -> None:
        """Hand over what all attacks wait for."""
        if self.active:
            self._answers = server.submit([fibre.waiting_for for fibre in self.active if fibre.waiting_for is not None])

    def take_answers(self) -> None:
        """Wait for the answers, and let every attack run until it asks again or ends."""
        if self._answers is None:
            return
        replies, self._answers = self._answers.result(), None
        for fibre, reply in zip(list(self.active), replies, strict=True):
            fibre.waiting_for = None
            fibre.advance(reply)

    def start(self, todo: Iterator[tuple[Job, int]], work: Callable[[Slot, Job], Result], limit: float | None) -> int:
        """A job for every free slot, while there are any; how many that were."""
        jobs = list(islice(todo, len(self._free)))
        for job, seed in jobs:
            fibre = Fibre(job, self._free.pop(), work, seed, limit)
            self.active.append(fibre)
            fibre.advance(None)
        return len(jobs)

    def ended(self, server: _Server) -> Iterator[Finished[Job, Result]]:
        """What has ended, when nothing is being answered."""
        for fibre in [fibre for fibre in self.active if fibre.finished is not None]:
            self.active.remove(fibre)
            self._free.append(fibre.slot)
            assert fibre.finished is not None
            server.settle()
            yield fibre.finished

    def stop(self) -> None:
        """End what still waits."""
        for fibre in self.active:
            fibre.stop()


class _AtOnce:
    """Answers when it is asked."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve

    def submit(self, requests: Sequence[Request]) -> Future[Sequence[Reply]]:
        """The answers."""
        future: Future[Sequence[Reply]] = Future()
        future.set_result(self._serve(requests) if requests else ())
        return future

    def settle(self) -> None:
        """Nothing is ever under way."""

    def close(self) -> None:
        """Nothing to end."""


class _Ahead:
    """Answers in a thread, one round after the other.

    That thread and those of the model wait for the interpreter after every operation, by default up to 5 ms while
    another one computes: they ask for it more often here.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="attacks-ahead")
        self._last: Future[Sequence[Reply]] | None = None
        self._usual = sys.getswitchinterval()
        sys.setswitchinterval(min(self._usual, _SWITCH_SECONDS))

    def submit(self, requests: Sequence[Request]) -> Future[Sequence[Reply]]:
        """The answers to come."""
        self._last = self._thread.submit(self._serve, requests)
        return self._last

    def settle(self) -> None:
        """Wait until nothing is under way."""
        if self._last is not None:
            wait([self._last])

    def close(self) -> None:
        """Wait for what is under way; nothing more is answered."""
        self._thread.shutdown(cancel_futures=True)
        sys.setswitchinterval(self._usual)


_Server = _AtOnce | _Ahead
