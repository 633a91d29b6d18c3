"""View model of the release board: each checkpoint under its policy, what blocks it, and what changed since last time.

Pure, and tested without Streamlit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd

from dashboards.audits import Audit, Entry
from dashboards.view_models.history import SIGNS
from dashboards.view_models.views import COUNTED, badge
from harness.base.language import _, day
from harness.gate.decide import GateResult, Outcome, Verdict
from harness.gate.verdict import WaiverState
from harness.reports.content import report as content
from harness.tracking.fetch import TrackedAudit

_GRAVEST = [Outcome.BLOCK, Outcome.INCONCLUSIVE, Outcome.PASS]
HISTORY = 12
"""Verdicts of one line: what fits beside its name."""


@dataclass(frozen=True, slots=True)
class Release:
    """A checkpoint's newest decided audit under a policy, and those before it."""

    audit: Audit
    earlier: tuple[Audit, ...] = ()
    """Newest first."""
    aliases: tuple[str, ...] = ()
    newer: tuple[Audit, ...] = ()
    """Audits of the same name since then that have no verdict, newest first: running, stopped or failed."""

    @property
    def verdict(self) -> Verdict:
        """Of the newest audit."""
        assert self.audit.verdict is not None
        return self.audit.verdict

    @property
    def last(self) -> list[Verdict]:
        """The last verdicts, oldest first."""
        verdicts = [audit.verdict for audit in (*reversed(self.earlier[: HISTORY - 1]), self.audit)]
        return [verdict for verdict in verdicts if verdict is not None]

    @property
    def history(self) -> str:
        """Their signs."""
        return " ".join(SIGNS[verdict.outcome] for verdict in self.last)

    def in_the_way(self) -> list[GateResult]:
        """Gates that do not pass, what blocks first."""
        return sorted(
            (result for result in self.verdict.gates if result.effective is not Outcome.PASS),
            key=lambda result: _GRAVEST.index(result.effective),
        )

    def waivers(self, today: date) -> list[str]:
        """Who answers for which gate until when, those that end first at the front."""
        waived = [result for result in self.verdict.gates if result.waiver is not WaiverState.NONE]
        waived.sort(key=lambda result: result.gate.waiver.until if result.gate.waiver else today)
        return [_waiver(result, today) for result in waived]

    def changes(self) -> list[str]:
        """Gates whose outcome is another than in the audit before; nothing where there is none before."""
        if not self.earlier or self.earlier[0].verdict is None:
            return []
        now, before = _outcomes(self.verdict), _outcomes(self.earlier[0].verdict)
        moved = [
            _("{gate}: {before} → {now}", gate=name, before=SIGNS[before[name]], now=SIGNS[outcome])
            for name, outcome in now.items()
            if name in before and before[name] is not outcome
        ]
        new = [
            _("{gate}: new {now}", gate=name, now=SIGNS[outcome]) for name, outcome in now.items() if name not in before
        ]
        return moved + new + [_("{gate}: gone", gate=name) for name in before if name not in now]


def releases(entries: Iterable[Entry], aliases: Mapping[str, Sequence[str]] | None = None) -> list[Release]:
    """One line per name and policy, what blocks first, then the newest; `aliases`: MLflow run -> its aliases.

    An audit that was not decided, or decided nothing since it had no policy, is no release.
    """
    groups: dict[tuple[str, str], list[Audit]] = {}
    open_: dict[str, list[Audit]] = {}
    for entry in sorted(entries, key=lambda entry: entry.audit_id, reverse=True):
        audit = entry.audit
        if audit is not None and audit.verdict is not None and audit.verdict.gates:
            groups.setdefault((audit.manifest.name, audit.verdict.policy), []).append(audit)
        elif audit is not None and audit.verdict is None:
            open_.setdefault(audit.manifest.name, []).append(audit)
    named = aliases or {}
    lines = [
        Release(
            group[0],
            tuple(group[1:]),
            tuple(named.get(group[0].tracking.get("run_id", ""), ())),
            tuple(each for each in open_.get(name, ()) if each.manifest.audit_id > group[0].manifest.audit_id),
        )
        for (name, _policy), group in groups.items()
    ]
    return sorted(lines, key=lambda line: _GRAVEST.index(line.verdict.outcome))


@dataclass(frozen=True, slots=True)
class TrackedRelease:
    """The newest decided audit of a name that only MLflow has, as its run tells it."""

    run: TrackedAudit
    aliases: tuple[str, ...] = ()


def tracked_releases(
    entries: Iterable[Entry], lines: Iterable[Release], aliases: Mapping[str, Sequence[str]] | None = None
) -> list[TrackedRelease]:
    """One per name without a folder here, or newer than the folder's, what blocks first.

    Which policy it was is in the audit, which is downloaded when it is opened.
    """
    local = {line.audit.manifest.name: line.audit.manifest.audit_id for line in lines}
    newest: dict[str, TrackedAudit] = {}
    for entry in sorted(entries, key=lambda entry: entry.audit_id, reverse=True):
        run = entry.tracked
        if run is None or entry.audit is not None or run.verdict not in set(Outcome) or not sum(run.gates.values()):
            continue
        if run.audit_id > local.get(run.name, ""):
            newest.setdefault(run.name, run)
    named = aliases or {}
    found = [TrackedRelease(run, tuple(named.get(run.run_id, ()))) for run in newest.values()]
    return sorted(found, key=lambda each: _GRAVEST.index(Outcome(each.run.verdict)))


def counted(lines: Sequence[Release]) -> str:
    """How many block, are undecided and pass, in words."""
    counts = [(COUNTED[outcome], sum(line.verdict.outcome is outcome for line in lines)) for outcome in _GRAVEST]
    return _(", ").join(_(words, n=count) for words, count in counts if count)


def grid(lines: Sequence[Release]) -> pd.DataFrame:
    """Gates [rows] against checkpoints [columns] of one policy: sign and word; '' where a gate was not asked."""
    columns: dict[str, dict[str, str]] = {}
    for line in lines:
        cells = {_named(result): badge(result.effective) for result in _worst_last(line.verdict.gates)}
        columns[line.audit.manifest.name] = cells
    gates = pd.DataFrame(columns).fillna("")
    title = _("gate")
    while title in columns:  # a checkpoint may be called so, and a table has no two columns of one name
        title += " "
    gates.insert(0, title, gates.index)
    return gates.reset_index(drop=True)


def _outcomes(verdict: Verdict) -> dict[str, Outcome]:
    return {_named(result): result.effective for result in _worst_last(verdict.gates)}


def _worst_last(results: Sequence[GateResult]) -> Iterator[GateResult]:
    """A gate with a pattern has several results: what counts most is kept by a mapping."""
    yield from sorted(results, key=lambda result: _GRAVEST.index(result.effective), reverse=True)


def _named(result: GateResult) -> str:
    return content.gate_title(result)


def _waiver(result: GateResult, today: date) -> str:
    waiver = result.gate.waiver
    assert waiver is not None
    days = (waiver.until - today).days
    facts = {"gate": _named(result), "who": waiver.by, "day": day(waiver.until)}
    if days < 0:
        return _("{gate}: {who} ended {day}", **facts)
    if result.waiver is WaiverState.UNUSED:
        return _("{gate}: {who} until {day} ({n} days left), not needed", **facts, n=days)
    return _("{gate}: {who} until {day} ({n} days left)", **facts, n=days)
