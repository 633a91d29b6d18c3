"""View model of a running audit: how far its probes are and how fast, from its events; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from harness.base import numbers
from harness.base.language import _
from harness.record.events import Ended, Event, MetricSoFar, Planned, Progress, Started, Warned, Written

_LINES = 12
"""Of the log: what is read at a glance."""
_STEADY = 20.0
"""Seconds of a probe before its speed is told: the first calls warm caches up and are small."""


class Stage(StrEnum):
    """Where a probe stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CUT = "cut short"
    STOPPED = "stopped"


@dataclass(slots=True)
class _Probe:
    total: int
    done: int = 0
    stage: Stage = Stage.WAITING
    warning: str = ""
    first: Progress | None = None
    last: Progress | None = None


@dataclass(frozen=True, slots=True)
class ProbeLine:
    """How far one probe is; None: not known, or not yet."""

    name: str
    stage: Stage
    done: int
    total: int
    cases_per_second: float | None
    tokens_per_second: float | None
    seconds_left: float | None
    warning: str


@dataclass(slots=True)
class Follower:
    """Takes an audit's events as they come; what it holds does not grow with their number."""

    probes: dict[str, _Probe] = field(default_factory=dict)
    metrics: dict[str, MetricSoFar] = field(default_factory=dict)
    told: deque[Event] = field(default_factory=lambda: deque(maxlen=_LINES))
    """The last events that have a line in the log."""
    started: str = ""
    """When the process of now began, UTC; an audit that was resumed had others."""
    last: str = ""
    """When anything was told last, UTC."""

    def take(self, events: Iterable[Event]) -> None:
        """Events that are new."""
        for event in events:
            self.last = event.at
            self._note(event)
            self._count(event)

    @property
    def log(self) -> list[str]:
        """Their lines, in the language spoken now."""
        return [f"{event.at[11:19]} {_said(event)}" for event in self.told]

    def lines(self, now: datetime, *, moves: bool = True) -> list[ProbeLine]:
        """All probes in the order planned; `now` has a time zone. Where nobody works on the audit none is running."""
        found = [_line(name, probe, now) for name, probe in self.probes.items()]
        if moves:
            return found
        return [
            replace(line, stage=Stage.STOPPED, seconds_left=None) if line.stage is Stage.RUNNING else line
            for line in found
        ]

    def share(self) -> float:
        """Cases with a row, of all planned; from 0 to 1."""
        total = sum(probe.total for probe in self.probes.values())
        return min(1.0, sum(probe.done for probe in self.probes.values()) / total) if total else 0.0

    def _count(self, event: Event) -> None:
        if isinstance(event, Planned):
            self.probes = {name: _Probe(total) for name, total in event.probes.items()}
        elif isinstance(event, Started):
            self._begin(event)
        elif isinstance(event, Progress):
            self._advance(event)
        elif isinstance(event, MetricSoFar):
            self.metrics[event.metric] = event
        elif isinstance(event, Warned):
            probe = self.probes.setdefault(event.probe, _Probe(0))
            probe.stage, probe.warning = Stage.CUT, event.text

    def _begin(self, event: Started) -> None:
        """What a former process measured of speed counts no more, and what it had to leave may be done now."""
        self.started = event.at
        for name, done in event.done.items():
            probe = self.probes.setdefault(name, _Probe(done))
            probe.done, probe.first, probe.last, probe.warning = done, None, None, ""
            probe.stage = Stage.DONE if done >= probe.total else Stage.WAITING

    def _advance(self, event: Progress) -> None:
        for probe in self.probes.values():
            if probe.stage is Stage.RUNNING:  # one at a time: the one before has ended
                probe.stage = Stage.DONE
        probe = self.probes.setdefault(event.probe, _Probe(event.total))
        probe.done, probe.total, probe.last = event.done, event.total, event
        probe.first = probe.first or event
        probe.stage = Stage.DONE if event.done >= event.total else Stage.RUNNING

    def _note(self, event: Event) -> None:
        if _said(event):
            self.told.append(event)


def words() -> Mapping[Stage, str]:
    """Stages in the language spoken now."""
    return {
        Stage.WAITING: _("waiting"),
        Stage.RUNNING: _("running"),
        Stage.DONE: _("done"),
        Stage.CUT: _("cut short"),
        Stage.STOPPED: _("stopped"),
    }


def _line(name: str, probe: _Probe, now: datetime) -> ProbeLine:
    cases = tokens = ahead = None
    if probe.first is not None and probe.last is not None:
        began, told = _moment(probe.first.at), _moment(probe.last.at)
        seconds = (told - began).total_seconds()
        made = probe.last.done - probe.first.done
        if seconds > 0 and made > 0 and (seconds >= _STEADY or probe.stage is Stage.DONE):
            cases = made / seconds
            tokens = (probe.last.tokens - probe.first.tokens) / seconds or None
        if cases and probe.stage is Stage.RUNNING:
            since = max(0.0, (now - told).total_seconds())
            ahead = max(0.0, (probe.total - probe.done) / cases - since)
    return ProbeLine(name, probe.stage, probe.done, probe.total, cases, tokens, ahead, probe.warning)


def _moment(at: str) -> datetime:
    """A time of an event; one that is none, in a file made by others, is the beginning of time."""
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _said(event: Event) -> str:
    """An event as a line of the log; '' for rows on disk, which progress tells as well."""
    if isinstance(event, Planned):
        return _("planned {n} probes", n=len(event.probes))
    if isinstance(event, Started):
        return _("process {pid} began", pid=event.pid)
    if isinstance(event, Progress):
        return _("{probe}: {done} of {total} cases", probe=event.probe, done=event.done, total=event.total)
    if isinstance(event, MetricSoFar):
        return f"{event.metric} = {numbers.number(event.value)} (n={event.n})"
    if isinstance(event, Warned):
        return _("warning: {probe}: {why}", probe=event.probe, why=event.text)
    if isinstance(event, Ended):
        return ": ".join(filter(None, (event.event, event.outcome, event.why)))
    assert isinstance(event, Written)
    return ""
