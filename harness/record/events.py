"""`events.jsonl`: what an audit is doing, a line of JSON each; read by the terminal, the dashboard and other processes.

Lines are only ever added, and one that a killed process left half is skipped. Rows are the truth, events only tell of
it: where they cannot be written, an audit goes on without.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from harness.api.metrics import Metric
from harness.api.progress import OnProgress
from harness.base.confined import is_there, open_regular
from harness.base.frozen import Frozen
from harness.base.loglines import clean

EVENTS = "events.jsonl"
SECONDS = 1.0
"""Between two events of progress of one probe, at least: what a person reads along."""
_SHARE = 1000
"""Events of progress grow further apart, to a thousandth of the time so far, so that days write no more than hours."""
_MOST_SECONDS = 10.0
"""Yet not so far that an audit looks dead."""
_LONGEST = 400
"""Characters of a text: a reason may quote a record."""
_MOST_BYTES = 2**26
"""Of the file: some 500,000 events; a longer one is not ours."""


class _Event(Frozen):
    v: Literal[1] = Field(default=1, description="version of this schema; readers skip lines of any other")
    at: str = Field(default="", description="UTC, ISO 8601 with milliseconds")


class Planned(_Event):
    """The audit's folder exists."""

    event: Literal["planned"] = "planned"
    probes: dict[str, int] = Field(description="cases by probe")


class Started(_Event):
    """A process works on it; of an audit that was resumed there are several."""

    event: Literal["started"] = "started"
    pid: int
    done: dict[str, int] = Field(description="cases by probe that had a row already")


class Progress(_Event):
    """A probe is so far."""

    event: Literal["progress"] = "progress"
    probe: str
    done: int = Field(description="cases with a row")
    total: int = Field(description="cases planned")
    tokens: int = Field(default=0, description="tokens that the models read for it, in this process")


class Written(_Event):
    """Rows are on disk: a part, or several that followed closely."""

    event: Literal["written"] = "written"
    probe: str
    rows: int = Field(description="rows since the event before, of this probe and process")


class MetricSoFar(_Event):
    """A metric over the rows there are; the last word has metrics.json."""

    event: Literal["metric"] = "metric"
    metric: str
    value: float | None = Field(description="null: cannot be computed")
    n: int
    final: bool = Field(description="whether it is over all rows the audit will have")


class Warned(_Event):
    """Something of a probe will be missing."""

    event: Literal["warning"] = "warning"
    probe: str
    text: str = Field(description="why, control characters written out, at most 400 characters")


class Ended(_Event):
    """The process is done with the audit: finished, or stopped by what `why` says."""

    event: Literal["finished", "failed", "interrupted"]
    outcome: str = Field(default="", description="pass, block or inconclusive; empty: not finished")
    why: str = Field(default="", description="see warning")


Event = Planned | Started | Progress | Written | MetricSoFar | Warned | Ended
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


class EventLog:
    """Adds events of one audit to its file."""

    def __init__(
        self, audit: Path, woken: Callable[[], object] = lambda: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`woken` is called after each event, for readers in this process; what it raises is raised."""
        self._path = audit / EVENTS
        self._woken = woken
        self._clock = clock
        self._began = clock()
        self._told: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def planned(self, probes: Mapping[str, int]) -> None:
        """See Planned."""
        self._add(Planned(probes=dict(probes)))

    def started(self, done: Mapping[str, int]) -> None:
        """See Started."""
        self._add(Started(pid=os.getpid(), done=dict(done)))

    def progress(self, probe: str, done: int, total: int, rows: int = 0, tokens: int = 0, *, now: bool = False) -> None:
        """`rows` more are on disk, `done` in all: told at the start, at the end, from time to time, and where `now`."""
        self._unsaid[probe] = self._unsaid.get(probe, 0) + rows
        clock, last = self._clock(), self._told.get(probe)
        gap = max(SECONDS, min((clock - self._began) / _SHARE, _MOST_SECONDS))
        if last is not None and done < total and clock - last < gap and not now:
            return
        self._told[probe] = clock
        if written := self._unsaid.pop(probe):
            self._add(Written(probe=probe, rows=written))
        self._add(Progress(probe=probe, done=done, total=total, tokens=tokens))

    def metrics(self, metrics: Iterable[Metric], *, final: bool) -> None:
        """Those over all rows, not of slices."""
        for each in metrics:
            if not each.slice:
                self._add(MetricSoFar(metric=each.key, value=each.value, n=each.n, final=final))

    def warned(self, probe: str, why: str) -> None:
        """See Warned."""
        self._add(Warned(probe=probe, text=clean(why, _LONGEST)))

    def finished(self, outcome: str) -> None:
        """The verdict is on disk."""
        self._add(Ended(event="finished", outcome=outcome))

    def stopped(self, how: Literal["failed", "interrupted"], why: str) -> None:
        """The manifest says why."""
        self._add(Ended(event=how, why=clean(why, _LONGEST)))

    def _add(self, event: Event) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = event.model_copy(update={"at": at}).model_dump_json(ensure_ascii=True)
        with suppress(OSError):
            _append(self._path, line.encode())
        self._woken()


class Tail:
    """Reads an audit's events as they come; one reader of several, in any process."""

    def __init__(self, audit: Path, *, from_now: bool = False) -> None:
        """`from_now`: without those that are there already."""
        self._path = audit / EVENTS
        self._at = self._path.stat().st_size if from_now and self._path.is_file() else 0

    def new(self) -> list[Event]:
        """Events since the last call. Raises CheckpointError for what is no file of events, e.g. a pipe or a link."""
        if not is_there(self._path):
            return []
        with open_regular(self._path, _MOST_BYTES) as handle:
            handle.seek(self._at)
            whole, end, _ = handle.read().rpartition(b"\n")  # after the last end a line is still being written
        self._at += len(whole) + len(end)
        return [event for line in whole.split(b"\n") if (event := _parsed(line)) is not None]


def read_events(audit: Path) -> list[Event]:
    """All events so far; none where the audit has no file of them. Raises as Tail.new does."""
    return Tail(audit).new()


def progress_reader(audit: Path, on_progress: OnProgress) -> Callable[[], None]:
    """Called whenever there may be something new, tells `on_progress` how far the probes are from now on."""
    tail = Tail(audit, from_now=True)

    def read() -> None:
        for event in tail.new():
            if isinstance(event, Progress):
                on_progress(event.probe, event.done, event.total)

    return read


def _append(path: Path, line: bytes) -> None:
    """One write, so that lines of two processes never mix; after a torn line a new one is begun."""
    number = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(number).st_size
        torn = size and os.pread(number, 1, size - 1) != b"\n"
        os.write(number, (b"\n" if torn else b"") + line + b"\n")
    finally:
        os.close(number)


def _parsed(line: bytes) -> Event | None:
    """None for half a line, or an event of another version."""
    try:
        return _EVENT.validate_json(line)
    except ValidationError:
        return None
