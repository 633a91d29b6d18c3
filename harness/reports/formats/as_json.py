"""Everything a report says as one JSON document, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict

from harness.reports.content.api import Level, ReportInput
from harness.reports.content.report import provenance

suffix = ".json"

FORMAT = "assay-report/1"


def render(report: ReportInput) -> str:
    """Verdict, exit code, metrics, examples and provenance; the manifest too above `summary`. ASCII only."""
    verdict = report.verdict
    content = {
        "format": FORMAT,
        "level": report.level,
        "verdict": verdict.model_dump(mode="json"),
        "exit_code": int(verdict.exit_code),
        "metrics": [metric.model_dump(mode="json") for metric in report.metrics],
        "curves": [plot.model_dump(mode="json") for plot in report.plots],
        "about": {name: asdict(about) for name, about in report.abouts.items()},
        "provenance": [list(entry) for entry in provenance(report)],
        "masked": dict(report.masked),
    }
    if report.level is not Level.SUMMARY:
        content["manifest"] = json.loads(report.manifest.model_dump_json())  # writes an infinite epsilon as a string
        content["examples"] = [asdict(example) for example in report.examples]
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
