"""The engine with toy attacks: every job once, the same result however it is run, nothing lost."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from harness.errors import AssayError
from suites.adversarial.pooled.broker import Broker, Request
from suites.adversarial.pooled.fibres import Finished, OutOfTime
from suites.adversarial.pooled.rounds import run_fibres
from suites.adversarial.pooled.run import run_pool
from suites.adversarial.pooled.workers import WorkerDied
from tests.suites.adversarial.pooled import toy

JOBS = [(number, 100 + number) for number in range(12)]


class Doubles:
    """A handler that notes each call."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, items: list[int]) -> Sequence[int]:
        self.calls.append(items)
        return [2 * item for item in items]


def pooled(
    work: Callable[[Any, Any], Any] = toy.doubling,
    jobs: Sequence[tuple[Any, int]] = tuple(JOBS),
    handler: Callable[[list[Any]], Sequence[Any]] | None = None,
    make: Callable[[int], Sequence[Any]] = toy.make,
    **options: Any,
) -> dict[Any, Finished[Any, Any]]:
    broker = Broker({"double": handler or Doubles()})
    found = list(run_pool(jobs, make, work, broker, **{"concurrent": 4, **options}))
    assert len(found) == len(jobs)
    return {one.job: one for one in found}


def outcomes(found: dict[Any, Finished[Any, Any]]) -> dict[Any, Any]:
    return {job: repr(one.error) if one.error else one.result for job, one in sorted(found.items())}


def test_the_result_is_the_same_however_it_is_run() -> None:
    expected = outcomes(pooled(concurrent=1))
    assert expected[7] == "ZeroDivisionError('seven')"
    job, got, drawn = expected[3]
    rng, numpy_rng = random.Random(103), np.random.RandomState(103)
    assert (job, got) == (3, [6, 6, 6, 8, 6, 10])
    assert drawn[:2] == [rng.random(), numpy_rng.random_sample()]
    assert drawn[2:] == [rng.random() for _ in range(3)]
    for options in ({"concurrent": 5}, {"concurrent": 12}, {"jobs": JOBS[::-1]}):
        assert outcomes(pooled(**options)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_give_the_same_results(workers: int) -> None:
    assert outcomes(pooled(workers=workers)) == outcomes(pooled(concurrent=1))


def test_the_callers_random_numbers_are_left_alone() -> None:
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random_sample()
    random.seed(1)
    np.random.seed(1)
    pooled()
    assert (random.random(), np.random.random_sample()) == expected


def test_a_round_asks_each_item_once() -> None:
    handler = Doubles()
    pooled(handler=handler, concurrent=12)
    assert len(handler.calls) == 3
    asked = [item for call in handler.calls for item in call]
    assert sorted(asked) == sorted(set(asked))
    assert set(asked) == {job + step for job, _ in JOBS for step in range(3)}


def test_an_item_that_breaks_the_handler_breaks_who_asked_for_it_only() -> None:
    def handler(items: list[int]) -> list[int]:
        if 5 in items:
            raise ValueError("five")
        return [2 * item for item in items]

    found = outcomes(pooled(handler=handler, concurrent=12))
    assert {job for job, result in found.items() if result == "ValueError('five')"} == {3, 4, 5}
    assert found[2] == outcomes(pooled())[2]


def test_an_error_of_the_audit_ends_it() -> None:
    def handler(items: list[int]) -> list[int]:
        raise AssayError("no device")

    with pytest.raises(AssayError, match="no device"):
        pooled(handler=handler)


def test_an_answer_that_is_an_error_is_raised_where_it_was_asked_for() -> None:
    broker = Broker({"double": lambda items: [KeyError(item) if item == 1 else item for item in items]})
    (one, two) = broker.answer([Request("double", (1, 2)), Request("double", (2,))])
    assert isinstance(one.answers[0], KeyError)
    assert two.answers == (2,)
    assert (broker.counts["double"].asked, broker.counts["double"].computed, broker.counts["double"].calls) == (3, 2, 1)


def test_a_job_over_its_time_is_an_error_and_the_others_carry_on() -> None:
    found = pooled(toy.slow, [(number, 0) for number in range(4)], limit=0.2)
    assert isinstance(found[1].error, OutOfTime)
    assert str(found[1].error) == "the limit of 0.2 seconds for one text was reached"
    assert [found[job].result for job in (0, 2, 3)] == [0, 4, 6]
    assert found[1].clock.total >= 0.2


def test_leaving_early_ends_what_still_runs() -> None:
    broker = Broker({"double": Doubles()})
    slots = toy.make(4)
    running = run_fibres([(number, 0) for number in range(9)], slots, toy.doubling, broker.answer)
    next(running)
    running.close()
    assert sum(slot["runs"] for slot in slots) == 4


@pytest.mark.slow
def test_a_worker_that_dies_takes_no_other_case_along() -> None:
    found = pooled(toy.deadly, [(number, 0) for number in range(8)], workers=2, concurrent=6)
    assert isinstance(found[3].error, WorkerDied)
    assert str(found[3].error) == "the process of this attack ended with exit code -9"
    assert {job: one.result for job, one in found.items() if job != 3} == {job: 2 * job for job in range(8) if job != 3}


@pytest.mark.slow
def test_what_a_worker_cannot_build_is_said_here() -> None:
    with pytest.raises(FileNotFoundError, match="no vectors for 2"):
        pooled(make=toy.broken_make, workers=2)


@pytest.mark.slow
def test_an_error_that_cannot_travel_arrives_as_its_words() -> None:
    found = pooled(toy.raising, [(0, 0)], workers=1)
    assert repr(found[0].error) == "RuntimeError('UnpicklableError: 1 and 2')"
