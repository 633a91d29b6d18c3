"""Attacks in several processes, all of which ask one model, the one of this process.

A worker searches; it holds no model. Each of its rounds is one message with all its attacks ask, and what has ended.
A worker that dies takes no case along: its cases are tried again, each alone in a process, and one that kills that
process too is an error of its own.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from harness.base.surroundings import shielded
from suites.adversarial.pooled.broker import Broker, Reply, Request
from suites.adversarial.pooled.fibres import Clock, Finished
from suites.adversarial.pooled.rounds import run_fibres

Make = Callable[[int], Sequence[Any]]
"""That many attacks, built in the process that calls it. Must be picklable, as must jobs and results."""
Work = Callable[[Any, Any], Any]
"""Runs one attack on one job."""
Numbered = tuple[int, Any, int]
"""Number, job and seed."""


class WorkerDied(Exception):  # noqa: N818  says what happened
    """The process of an attack ended without a word."""


@dataclass(frozen=True, slots=True)
class _Report:
    """From a worker: what has ended, what it asks, how many more attacks it could run."""

    finished: list[Finished[int, Any]]
    requests: list[Request]
    free: int


@dataclass(frozen=True, slots=True)
class _Orders:
    """To a worker: answers to what it asked, new jobs; None to end."""

    replies: list[Reply]
    jobs: list[Numbered]


@dataclass(slots=True)
class _Worker:
    process: Any
    connection: Connection
    jobs: dict[int, Numbered] = field(default_factory=dict)
    alone: bool = False
    idle: bool = False


class Workers:
    """Processes that live until `close`, so that what they have loaded serves every call of `run`."""

    def __init__(self, count: int, make: Make, work: Work, slots: int, limit: float | None = None) -> None:
        self._start = (make, work, slots, limit)
        self._slots = slots
        self._workers = [self._spawn() for _ in range(count)]

    def run(self, jobs: Iterable[tuple[Any, int]], broker: Broker) -> Iterator[Finished[Any, Any]]:
        """Each job once, in the order they end; `broker` answers in this process."""
        todo = deque((number, job, seed) for number, (job, seed) in enumerate(jobs))
        left, suspects = len(todo), deque[Numbered]()
        for worker in self._workers:
            if worker.idle:
                self._give(worker, self._slots, [], todo, suspects)
        while left:
            ready = wait([worker.connection for worker in self._workers])
            reports = []
            for worker in [worker for worker in self._workers if worker.connection in ready]:
                try:
                    report = worker.connection.recv()
                except (EOFError, OSError):
                    blamed = self._replace(worker, suspects)
                    left -= len(blamed)
                    yield from blamed
                    continue
                if isinstance(report, Exception):
                    raise report
                reports.append((worker, report))
            replies = iter(broker.answer([request for _, report in reports for request in report.requests]))
            for worker, report in reports:
                ended = [_named(worker.jobs.pop(one.job), one) for one in report.finished]
                left -= len(ended)
                self._give(worker, report.free, [next(replies) for _ in report.requests], todo, suspects)
                yield from ended

    def close(self) -> None:
        """End the processes, at once."""
        for worker in self._workers:
            worker.connection.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()

    def _spawn(self) -> _Worker:
        here, there = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=_main, args=(there, *self._start), daemon=True)
        with shielded():  # it starts with `python -c`, which imports from the working folder first
            process.start()
        there.close()
        return _Worker(process, here)

    def _replace(self, worker: _Worker, suspects: deque[Numbered]) -> list[Finished[Any, Any]]:
        """Start another process; who was in the dead one is tried again alone, who was alone is to blame."""
        worker.process.join()
        died = WorkerDied(f"the process of this attack ended with exit code {worker.process.exitcode}")
        blamed: list[Finished[Any, Any]] = [
            Finished(job, Clock(), error=died) for _, job, _ in worker.jobs.values() if worker.alone
        ]
        if not worker.alone:
            suspects.extend(worker.jobs.values())
        if not worker.jobs:
            raise WorkerDied(f"a worker process ended with exit code {worker.process.exitcode} before any attack")
        self._workers[self._workers.index(worker)] = self._spawn()
        return blamed

    def _give(
        self, worker: _Worker, free: int, replies: list[Reply], todo: deque[Numbered], suspects: deque[Numbered]
    ) -> None:
        """Answers, and as many jobs as it has room for; a suspect only to a worker that runs nothing else."""
        jobs = []
        if not worker.jobs:
            worker.alone = False
            if suspects and not todo:
                jobs, worker.alone = [suspects.popleft()], True
        if not worker.alone:
            jobs = [todo.popleft() for _ in range(min(free, len(todo)))]
        worker.jobs.update((job[0], job) for job in jobs)
        worker.idle = not worker.jobs
        if worker.jobs:
            with suppress(OSError):  # it has died; the next round finds out
                worker.connection.send(_Orders(replies, jobs))


def _named(numbered: Numbered, ended: Finished[int, Any]) -> Finished[Any, Any]:
    return Finished(numbered[1], ended.clock, ended.result, ended.error)


class _Inbox:
    """Jobs as they come: an iterator that is empty for now, not for ever."""

    def __init__(self) -> None:
        self.jobs: deque[Numbered] = deque()

    def __iter__(self) -> Iterator[tuple[Numbered, int]]:
        return self

    def __next__(self) -> tuple[Numbered, int]:
        if not self.jobs:
            raise StopIteration
        job = self.jobs.popleft()
        return job, job[2]


def _main(connection: Connection, make: Make, work: Work, slots: int, limit: float | None) -> None:
    """A worker's life: report, get orders, until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    import torch

    torch.set_num_threads(1)
    try:
        attacks, inbox = make(slots), _Inbox()
    except Exception as error:  # what it lacks is for the parent to say
        connection.send(_portable(error))
        return
    finished: list[Finished[int, Any]] = []
    active = 0

    def serve(requests: Sequence[Request]) -> Sequence[Reply]:
        nonlocal active
        connection.send(_Report(list(finished), list(requests), slots - active))
        finished.clear()
        orders: _Orders = connection.recv()
        inbox.jobs.extend(orders.jobs)
        active += len(orders.jobs)
        return orders.replies

    try:
        while True:
            serve([])
            for ended in run_fibres(inbox, attacks, lambda attack, job: work(attack, job[1]), serve, limit=limit):
                why = None if ended.error is None else _portable(ended.error)
                finished.append(Finished(ended.job[0], ended.clock, ended.result, why))
                active -= 1
    except (EOFError, OSError):  # the parent is gone or done
        return


def _portable(error: Exception) -> Exception:
    """The error, or one that says the same where it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever a foreign exception does when it is copied
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
