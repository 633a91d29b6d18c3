"""Everything a scan knows, as JSON."""

from __future__ import annotations

import json

from harness.scan.finding import ScanReport


def as_json(report: ScanReport) -> str:
    """The report's fields, with outcome, exit code and headline, which follow from them."""
    content = {
        "outcome": str(report.outcome),
        "exit_code": int(report.exit_code),
        "headline": report.headline,
        **report.model_dump(mode="json"),
    }
    return json.dumps(content, indent=2) + "\n"
