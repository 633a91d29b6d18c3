"""What a report writer gets. A writer is a callable with a file suffix, found by the entry point `assay.reports`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.gate import Verdict
from harness.metrics import Metric
from harness.probe import About
from harness.record import AuditManifest


@dataclass(frozen=True, slots=True)
class ReportInput:
    """Everything a report says; the verdict is decided already and is only to be rendered."""

    manifest: AuditManifest
    metrics: tuple[Metric, ...]
    verdict: Verdict
    abouts: Mapping[str, About]
    """What each planned probe says of itself, by probe name."""


Render = Callable[[ReportInput], str]


@dataclass(frozen=True, slots=True)
class Writer:
    """A report format."""

    name: str
    render: Render
    suffix: str
    """With its dot; the module that holds `render` names it as `suffix`."""
