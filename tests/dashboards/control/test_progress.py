"""How far and how fast, from events whose numbers are known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dashboards.control.progress import Follower, Stage
from harness.base.language import spoken
from harness.record.events import Ended, Event, MetricSoFar, Planned, Progress, Started, Warned, Written

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def running(until: float = 100.0) -> list[Event]:
    return [
        Planned(at=at(0), probes={"a/b": 1000, "c/d": 50}),
        Started(at=at(1), pid=7, done={"a/b": 0, "c/d": 0}),
        Progress(at=at(10), probe="a/b", done=0, total=1000),
        Written(at=at(11), probe="a/b", rows=8),
        Progress(at=at(10 + until), probe="a/b", done=500, total=1000, tokens=20_000),
    ]


def test_speed_and_what_is_left_follow_from_the_events() -> None:
    follower = Follower()
    follower.take(running())
    first, second = follower.lines(START + timedelta(seconds=130))
    assert (first.name, first.stage, first.done, first.total) == ("a/b", Stage.RUNNING, 500, 1000)
    assert first.cases_per_second == pytest.approx(5.0)
    assert first.tokens_per_second == pytest.approx(200.0)
    assert first.seconds_left == pytest.approx(100 - 20)  # 500 cases at 5 a second, told 20 seconds ago
    assert (second.stage, second.cases_per_second, second.seconds_left) == (Stage.WAITING, None, None)
    assert follower.share() == pytest.approx(500 / 1050)


def test_nothing_runs_where_nobody_works_on_it() -> None:
    follower = Follower()
    follower.take(running())
    first, second = follower.lines(START + timedelta(seconds=130), moves=False)
    assert (first.stage, first.done, first.seconds_left) == (Stage.STOPPED, 500, None)
    assert second.stage is Stage.WAITING


def test_no_speed_is_told_of_the_first_seconds() -> None:
    follower = Follower()
    follower.take(running(until=5.0))
    (line, _) = follower.lines(START + timedelta(seconds=20))
    assert (line.done, line.cases_per_second, line.tokens_per_second, line.seconds_left) == (500, None, None, None)


def test_events_may_come_in_any_portions() -> None:
    whole, parts = Follower(), Follower()
    whole.take(running())
    for event in running():
        parts.take([event])
    assert parts == whole


def test_a_resumed_audit_forgets_the_speed_of_the_process_before() -> None:
    follower = Follower()
    follower.take([*running(), Ended(at=at(120), event="interrupted", why="interrupted by the user")])
    follower.take([Started(at=at(5000), pid=8, done={"a/b": 500, "c/d": 50})])
    first, second = follower.lines(START + timedelta(seconds=5001))
    assert (first.stage, first.done, first.cases_per_second) == (Stage.WAITING, 500, None)
    assert second.stage is Stage.DONE
    follower.take([Progress(at=at(5010), probe="a/b", done=500, total=1000)])
    follower.take([Progress(at=at(5060), probe="a/b", done=600, total=1000)])
    first, _ = follower.lines(START + timedelta(seconds=5060))
    assert first.cases_per_second == pytest.approx(2.0)  # 100 cases in 50 seconds, not 600 since yesterday
    assert first.tokens_per_second is None  # an older version told none: unknown, not zero
    assert first.seconds_left == pytest.approx(200.0)


def test_the_next_probe_ends_the_one_before_and_a_warning_cuts_it_short() -> None:
    follower = Follower()
    follower.take([*running(), Warned(at=at(120), probe="a/b", text="the limit was reached")])
    follower.take([Progress(at=at(121), probe="c/d", done=0, total=50)])
    first, second = follower.lines(START + timedelta(seconds=122))
    assert (first.stage, first.warning) == (Stage.CUT, "the limit was reached")
    assert second.stage is Stage.RUNNING


def test_the_log_and_the_metrics_stay_short() -> None:
    follower = Follower()
    for n in range(1000):
        follower.take([MetricSoFar(at=at(n), metric="a/b/accuracy", value=0.5, n=n, final=False)])
    assert len(follower.log) == 12
    assert follower.log[-1] == "03:20:44 a/b/accuracy = 0.5000 (n=999)"
    assert [each.n for each in follower.metrics.values()] == [999]


def test_the_log_is_told_in_the_language_spoken_when_it_is_read() -> None:
    follower = Follower()
    follower.take(running()[:1])
    english = follower.log
    with spoken("zh"):
        assert len(follower.log) == len(english) == 1
        assert follower.log != english
    assert follower.log == english


def test_times_that_are_none_stop_nothing() -> None:
    follower = Follower()
    follower.take([Progress(at="never", probe="a/b", done=1, total=9), Progress(at="", probe="a/b", done=2, total=9)])
    (line,) = follower.lines(START)
    assert (line.done, line.cases_per_second) == (2, None)
