"""What a report writer gets. A writer is a callable with a file suffix, found by the entry point `assay.reports`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from harness.api.curves import CurvePlot
from harness.api.metrics import Metric
from harness.api.probe import About
from harness.base.language import ENGLISH
from harness.gate.verdict import Verdict
from harness.record.folder import AuditManifest


class Level(StrEnum):
    """How much a report discloses; each level shows what the one before it shows."""

    SUMMARY = "summary"
    """The verdict, its gates with their evidence, and what the probes cannot tell; no path, command or setting."""
    FINDINGS = "findings"
    """Every metric, the provenance, and single cases by their numbers; text of rows and personal data masked."""
    FULL = "full"
    """The text of rows as well: it can be toxic or personal."""
    REPRODUCTION = "reproduction"
    """What `full` shows, and beside it a zip with all that is needed to run the audit again, without weights."""

    @property
    def shows_text(self) -> bool:
        """Whether the text of rows may be read."""
        return self in (Level.FULL, Level.REPRODUCTION)


class Undecided(StrEnum):
    """What JUnit makes of a gate that is undecided."""

    SKIPPED = "skipped"
    """CI shows it in green."""
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a probe, as a report may show it."""

    probe: str
    case_id: str
    cells: tuple[tuple[str, str], ...]
    """Column and content; text that the level does not show is replaced by a mark."""


@dataclass(frozen=True, slots=True)
class ReportInput:
    """Everything a report says; the verdict is decided already and is only to be rendered.

    What the level does not allow is masked or left out before a writer gets it.
    """

    manifest: AuditManifest
    metrics: tuple[Metric, ...]
    verdict: Verdict
    abouts: Mapping[str, About]
    """What each planned probe says of itself, by probe name."""
    level: Level = Level.FINDINGS
    plots: tuple[CurvePlot, ...] = ()
    """Curves that the audit saved."""
    examples: tuple[Example, ...] = ()
    """A few rows of each probe."""
    masked: Mapping[str, int] = field(default_factory=dict)
    """How many of each kind were masked, e.g. `{'e-mail address': 2}`."""
    folder: Path | None = None
    """The audit on disk, for writers that pack files; what they show of its rows must go by `level`."""
    identity: str = ""
    """Digest of what was audited, taken before anything was masked; '': nothing was, see `reports.identity`."""
    undecided: Undecided = Undecided.SKIPPED
    language: str = ENGLISH
    """Of HTML and PDF, which people read; the other formats are read by machines as well and stay English."""


Render = Callable[[ReportInput], str | bytes]


@dataclass(frozen=True, slots=True)
class Writer:
    """A report format."""

    name: str
    render: Render
    suffix: str
    """With its dot; the module that holds `render` names it as `suffix`."""
    default: bool = True
    """Whether it is written after every audit; `default = False` in its module: only when asked for by name."""
