"""What an audit keeps of the scan it began with, and the number a policy can set a bound for."""

from __future__ import annotations

import hashlib

from pydantic import Field

from harness.api.metrics import PROVEN, Better, Metric, missing_metric
from harness.base.frozen import Frozen
from harness.base.language import marked
from harness.scan.finding import Level, Outcome, ScanReport
from harness.scan.render.as_json import as_json

SCAN_FILE = "scan.json"
SCAN_PROBE = "scan/checkpoint"
"""No probe of that name runs: the scan is made before any."""
SCAN_METRIC = f"{SCAN_PROBE}/findings"
_UNIT = marked("findings")


class ScanRecord(Frozen):
    """The scan in short; all of it lies in scan.json."""

    outcome: Outcome
    headline: str
    errors: int = Field(ge=0)
    warnings: int = Field(ge=0)
    notes: int = Field(ge=0)
    unscanned: int = Field(ge=0, description="entries of what was not read, or not to its end")
    files: int = Field(ge=0)
    rules: tuple[str, ...] = Field(description="rules that found something above notes")
    digest: str = Field(description="sha256 of scan.json")

    @classmethod
    def of(cls, report: ScanReport) -> ScanRecord:
        """The record of a report."""
        found = {finding.rule for finding in report.findings if finding.level is not Level.NOTE}
        return cls(
            outcome=report.outcome,
            headline=report.headline,
            errors=report.count(Level.ERROR),
            warnings=report.count(Level.WARNING),
            notes=report.count(Level.NOTE),
            unscanned=len(report.unscanned),
            files=report.files_found,
            rules=tuple(sorted(found)),
            digest=hashlib.sha256(as_json(report).encode()).hexdigest(),
        )


def scan_metrics(record: ScanRecord | None) -> list[Metric]:
    """How many findings a complete scan has; missing with the reason where it was not complete; none without a scan.

    The number is counted, not estimated. What an incomplete scan has found is a part of it, so no bound can hold.
    """
    if record is None:
        return []
    if record.unscanned:
        why = f"not everything was scanned ({record.unscanned} entries not read to their end); {record.headline}"
        return [missing_metric(SCAN_METRIC, why, better=Better.LOWER, unit=_UNIT)]
    found = float(record.errors + record.warnings)
    return [
        Metric(
            key=SCAN_METRIC,
            value=found,
            low=found,
            high=found,
            n=record.files,
            better=Better.LOWER,
            unit=_UNIT,
            interval=PROVEN,
            note="errors and warnings of a scan of every file, counted",
        )
    ]
