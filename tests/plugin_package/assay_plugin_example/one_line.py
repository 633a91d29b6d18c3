"""A report writer: the verdict in one line."""

from __future__ import annotations

from harness.reports.content.api import ReportInput

suffix = ".txt"


def render(report: ReportInput) -> str:
    """Outcome and audit id."""
    return f"{report.verdict.outcome} {report.manifest.audit_id}\n"
