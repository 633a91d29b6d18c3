"""Events of an audit: only added, bounded, half lines skipped, text inert."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.api.metrics import Better, Metric
from harness.errors import CheckpointError
from harness.record.events import (
    EVENTS,
    Ended,
    EventLog,
    MetricSoFar,
    Planned,
    Progress,
    Started,
    Tail,
    Warned,
    Written,
    progress_reader,
    read_events,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_every_kind_comes_back_as_it_was_told(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.planned({"a/b": 3})
    log.started({"a/b": 1})
    log.progress("a/b", 3, 3, 2)
    known = Metric(key="a/b/c", value=0.5, n=3, better=Better.HIGHER)
    log.metrics(
        [
            known,
            known.model_copy(update={"slice": "x"}),
            Metric(key="a/b/d", value=None, n=0, better=Better.LOWER, note="none"),
        ],
        final=True,
    )
    log.warned("a/b", "one is missing")
    log.finished("pass")
    log.stopped("failed", "why")
    found = read_events(tmp_path)
    assert all(event.at.endswith("+00:00") for event in found)
    assert [event.model_copy(update={"at": ""}) for event in found] == [
        Planned(probes={"a/b": 3}),
        Started(pid=os.getpid(), done={"a/b": 1}),
        Written(probe="a/b", rows=2),
        Progress(probe="a/b", done=3, total=3),
        MetricSoFar(metric="a/b/c", value=0.5, n=3, final=True),
        MetricSoFar(metric="a/b/d", value=None, n=0, final=True),
        Warned(probe="a/b", text="one is missing"),
        Ended(event="finished", outcome="pass"),
        Ended(event="failed", why="why"),
    ]


def test_progress_is_told_at_most_every_second_and_nothing_is_lost(tmp_path: Path) -> None:
    clock = Clock()
    log = EventLog(tmp_path, clock=clock)
    log.progress("p", 0, 10_000)
    for done in range(1, 10_001):
        clock.now = done / 100
        log.progress("p", done, 10_000, 1)
    progress = [event for event in read_events(tmp_path) if isinstance(event, Progress)]
    written = [event for event in read_events(tmp_path) if isinstance(event, Written)]
    assert 90 < len(progress) <= 102  # 100 seconds, the start and the end
    assert progress[-1].done == 10_000
    assert sum(event.rows for event in written) == 10_000


def test_a_day_writes_little(tmp_path: Path) -> None:
    clock = Clock()
    log = EventLog(tmp_path, clock=clock)
    for second in range(0, 86_400, 2):
        clock.now = float(second)
        log.progress("p", second, 86_400, 2)
    assert (tmp_path / EVENTS).stat().st_size < 3 * 2**20


def test_half_a_line_is_skipped_and_the_next_one_is_whole(tmp_path: Path) -> None:
    log, path = EventLog(tmp_path), tmp_path / EVENTS
    log.planned({"a/b": 3})
    tail = Tail(tmp_path)
    assert len(tail.new()) == 1
    with path.open("ab") as handle:
        handle.write(b'{"v":1,"event":"progr')
    assert tail.new() == []
    log.warned("a/b", "after")
    assert [event.event for event in tail.new()] == ["warning"]
    with path.open("ab") as handle:
        handle.write(b'{"v":2,"event":"warning","probe":"a","text":"t"}\n\xff\xfe\n[]\n{"v":1,"event":"new"}\n')
    assert tail.new() == []
    assert [event.event for event in read_events(tmp_path)] == ["planned", "warning"]


def test_a_line_comes_when_it_is_whole(tmp_path: Path) -> None:
    tail, line = Tail(tmp_path), Warned(probe="a", text="t").model_dump_json().encode()
    assert tail.new() == []
    (tmp_path / EVENTS).write_bytes(line[:9])
    assert tail.new() == []
    (tmp_path / EVENTS).write_bytes(line + b"\n")
    assert tail.new() == [Warned(probe="a", text="t")]


def test_text_is_one_line_of_ascii_and_short(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.warned("a/b", "\x1b[31mred\n::error::\u202e" + "é" * 100_000)
    (line,) = (tmp_path / EVENTS).read_bytes().splitlines()
    assert line.isascii()
    assert len(line) < 4_000
    text = json.loads(line)["text"]
    assert text.startswith("\\x1b[31mred\n::error::\\u202eé")
    assert text.endswith("characters left out)")


def test_an_audit_goes_on_where_events_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / EVENTS).mkdir()
    woken: list[int] = []
    EventLog(tmp_path, lambda: woken.append(1)).planned({})
    assert woken == [1]
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_events(tmp_path)


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / EVENTS).symlink_to(tmp_path / "elsewhere")
    EventLog(tmp_path / "audit").planned({})
    assert (tmp_path / "elsewhere").read_text() == ""


def test_a_reader_of_progress_hears_what_comes_after_it(tmp_path: Path) -> None:
    EventLog(tmp_path).progress("old", 0, 1)
    seen: list[tuple[str, int, int]] = []
    log = EventLog(tmp_path, progress_reader(tmp_path, lambda *told: seen.append(told)))
    log.started({})
    log.progress("p", 1, 2)
    assert seen == [("p", 1, 2)]
