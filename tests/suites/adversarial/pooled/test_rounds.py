"""Searching ahead: half of the attacks search while the other half is answered."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence

import pytest

from harness.errors import AssayError
from suites.adversarial.pooled.broker import Broker, Reply, Request
from suites.adversarial.pooled.fibres import ask
from suites.adversarial.pooled.rounds import run_fibres
from suites.adversarial.pooled.run import run_pool
from tests.suites.adversarial.pooled import toy
from tests.suites.adversarial.pooled.test_pool import JOBS, Doubles, outcomes, pooled

CALLER = threading.get_ident()


@pytest.mark.parametrize("concurrent", [1, 2, 3, 5, 12])
def test_the_result_is_the_same(concurrent: int) -> None:
    assert outcomes(pooled(concurrent=concurrent, ahead=True)) == outcomes(pooled(concurrent=1))


@pytest.mark.parametrize("ahead", [False, True])
def test_attacks_that_end_before_they_ask_anything_leave_no_job_behind(ahead: bool) -> None:
    def work(_slot: None, job: int) -> int:
        return -job

    ended = list(run_fibres([(job, 0) for job in range(9)], [None] * 2, work, lambda _: [], ahead=ahead))
    assert {one.job: one.result for one in ended} == {job: -job for job in range(9)}


def test_one_half_searches_while_the_other_is_answered() -> None:
    both = threading.Event()
    searched: list[int] = []

    def work(_slot: None, job: int) -> int:
        searched.append(job)
        if len(searched) == 4:  # the third and fourth search while the first two wait
            both.set()
        (answer,) = ask("double", (job,))
        return int(answer)

    def serve(requests: Sequence[Request]) -> list[Reply]:
        assert threading.get_ident() != CALLER
        assert both.wait(timeout=60), "nobody searches meanwhile"
        return [Reply(tuple(2 * item for item in request.items), 0.0) for request in requests]  # type: ignore[operator]

    ended = list(run_fibres([(job, 0) for job in range(4)], [None] * 4, work, serve, ahead=True))
    assert {one.job: one.result for one in ended} == {job: 2 * job for job in range(4)}


def test_nothing_is_computed_while_the_caller_has_a_result() -> None:
    busy = threading.Lock()

    def handler(items: list[int]) -> list[int]:
        with busy:
            return [2 * item for item in items]

    running = run_pool(JOBS, toy.make, toy.doubling, Broker({"double": handler}), concurrent=5, ahead=True)
    for _ in running:
        assert busy.acquire(blocking=False)
        busy.release()


def test_an_error_of_the_audit_ends_it_and_the_thread() -> None:
    def handler(_: list[int]) -> list[int]:
        raise AssayError("no device")

    usual = sys.getswitchinterval()
    with pytest.raises(AssayError, match="no device"):
        pooled(handler=handler, ahead=True)
    assert sys.getswitchinterval() == usual
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("attacks-ahead")]


def test_leaving_early_ends_what_still_runs() -> None:
    slots = toy.make(4)
    broker = Broker({"double": Doubles()})
    running = run_fibres([(number, 0) for number in range(9)], slots, toy.doubling, broker.answer, ahead=True)
    next(running)
    running.close()
    assert sum(slot["runs"] for slot in slots) == 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("attacks-ahead")]
