"""A scan as SARIF 2.1.0 (OASIS standard): a rule per rule of Assay's, a result per finding, relative locations.

What was not scanned is a notification of the tool, and makes the execution unsuccessful. Notes are of kind
`informational`, for which the standard (3.27.10) fixes the level `none`.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote

from harness.reports.content import plain
from harness.scan.finding import Finding, Level, Outcome, ScanReport
from harness.scan.rules import RULES

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_MOST = 5_000
"""GitHub takes 25,000 results and shows 5,000."""


def as_sarif(report: ScanReport) -> str:
    """One run."""
    places = {name: place for place, name in enumerate(RULES)}
    run = {
        "tool": {
            "driver": {
                "name": "Assay scan",
                "version": report.version,
                "shortDescription": _message("What a checkpoint holds, told without loading it"),
                "rules": [_rule(name) for name in RULES],
            }
        },
        "automationDetails": {"id": f"assay-scan/{_segment(report.source)}"},
        "invocations": [
            {
                "executionSuccessful": not report.unscanned,
                "exitCode": int(report.exit_code),
                "exitCodeDescription": plain(report.headline),
                "toolExecutionNotifications": [
                    {"level": "warning", "message": _message(f"not scanned: {missed.file}: {missed.why}")}
                    for missed in report.unscanned
                ],
            }
        ],
        "results": [_result(report.source, finding, places[finding.rule]) for finding in report.findings[:_MOST]],
        "columnKind": "unicodeCodePoints",
        "properties": {
            "outcome": str(report.outcome),
            "complete": not report.unscanned,
            "found": report.outcome is Outcome.FOUND,
            "files": report.files_found,
        },
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(name: str) -> dict[str, Any]:
    rule = RULES[name]
    return {
        "id": rule.id,
        "shortDescription": _message(rule.short),
        "fullDescription": _message(f"{rule.short}. {rule.help}"),
        "help": _message(rule.help),
        "defaultConfiguration": {"level": str(rule.level)},
        "properties": {"tags": ["assay", "security", rule.id.partition("/")[0]]},
    }


def _result(source: str, finding: Finding, place: int) -> dict[str, Any]:
    note = finding.level is Level.NOTE
    outer, _, inner = finding.file.partition("!")
    logical = [part for part in (inner, finding.where) if part]
    named = plain(" ".join(logical)) or plain(outer) or "checkpoint"
    print_ = hashlib.sha256(json.dumps([source, finding.rule, finding.file, finding.where]).encode()).hexdigest()
    return {
        "ruleId": finding.rule,
        "ruleIndex": place,
        "kind": "informational" if note else "fail",
        "level": "none" if note else str(finding.level),
        "message": _message(f"{finding.file}: {finding.sentence}"),
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(outer.lstrip("/"), safe="/") or "."},
                    "region": {"startLine": 1},
                },
                "logicalLocations": [{"name": named, "fullyQualifiedName": f"{plain(finding.file)}#{named}"}],
            }
        ],
        "partialFingerprints": {"assayScan/v1": print_, "primaryLocationLineHash": f"{print_[:16]}:1"},
    }


def _message(value: str) -> dict[str, str]:
    """A plain-text message: braces are doubled (3.11.5), and nothing can be read as an embedded link (3.11.6)."""
    return {"text": plain(value).replace("{", "{{").replace("}", "}}").replace("](", "] (")}


def _segment(name: str) -> str:
    """One segment of a hierarchical id."""
    return plain(name).strip("/").replace("/", "_") or "checkpoint"
