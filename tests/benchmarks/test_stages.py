from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import audit
from benchmarks.audit import Stages


class Clock:
    """Goes on where it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def process_time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(audit, "time", clock)
    return clock


def test_a_stage_does_not_count_what_is_inside_it(clock: Clock) -> None:
    stages = Stages()

    def inner() -> str:
        clock.now += 5
        return "found"

    with stages.stage("outer"):
        clock.now += 1
        assert stages.timed("inner", inner)() == "found"
        clock.now += 2
        stages.timed("inner", inner)()
    clock.now += 50
    assert stages.seconds == {"outer": 3.0, "inner": 10.0}


def test_steps_of_a_generator_count_and_what_is_done_with_them_does_not(clock: Clock) -> None:
    stages = Stages()

    def steps() -> Iterator[int]:
        for number in range(3):
            clock.now += 1
            yield number

    found = []
    with stages.stage("rest"):
        for number in stages.stepped("probe", steps)():
            clock.now += 10
            found.append(number)
    assert found == [0, 1, 2]
    assert stages.seconds == {"rest": 30.0, "probe": 3.0}


def test_a_stage_that_fails_is_left(clock: Clock) -> None:
    stages = Stages()

    def broken() -> None:
        clock.now += 4
        raise ZeroDivisionError

    with stages.stage("rest"):
        with pytest.raises(ZeroDivisionError):
            stages.timed("broken", broken)()
        clock.now += 1
    assert stages.seconds == {"rest": 1.0, "broken": 4.0}
