"""A scan as SARIF 2.1.0 (OASIS standard): a rule per rule of Assay's, a result per finding, relative locations.

What was not scanned is a notification of the tool, and makes the execution unsuccessful. Notes are of kind
`informational`, for which the standard (3.27.10) fixes the level `none`. The category is the source's own: the scan of
one checkpoint never replaces that of another.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote

from harness.base.loglines import plain
from harness.base.sarif_limits import category, left_out, message, within_limits
from harness.scan.finding import Finding, Level, Outcome, ScanReport
from harness.scan.rules import RULES

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_sarif(report: ScanReport) -> str:
    """One run."""
    return within_limits(lambda most: _log(report, most))


def _log(report: ScanReport, most: int) -> dict[str, Any]:
    findings, unscanned = report.findings[:most], report.unscanned[:most]  # errors stand first
    content = hashlib.sha256(report.model_dump_json(exclude={"seconds"}).encode()).hexdigest()
    named = category("assay-scan", report.source, key=report.source)
    where = "the scan as text or JSON has them all"
    places = {name: place for place, name in enumerate(RULES)}
    run = {
        "tool": {
            "driver": {
                "name": "Assay scan",
                "version": report.version,
                "shortDescription": message("What a checkpoint holds, told without loading it"),
                "rules": [_rule(name) for name in RULES],
            }
        },
        "automationDetails": {"id": f"{named}/{content[:12]}"},
        "invocations": [
            {
                "executionSuccessful": not report.unscanned,
                "exitCode": int(report.exit_code),
                "exitCodeDescription": plain(report.headline),
                "toolExecutionNotifications": [
                    *left_out(len(findings), len(report.findings), "findings", where),
                    *left_out(len(unscanned), len(report.unscanned), "files not scanned", where),
                    *(
                        {"level": "warning", "message": message(f"not scanned: {missed.file}: {missed.why}")}
                        for missed in unscanned
                    ),
                ],
            }
        ],
        "results": [_result(report.source, finding, places[finding.rule]) for finding in findings],
        "columnKind": "unicodeCodePoints",
        "properties": {
            "outcome": str(report.outcome),
            "complete": not report.unscanned,
            "found": report.outcome is Outcome.FOUND,
            "files": report.files_found,
        },
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(name: str) -> dict[str, Any]:
    rule = RULES[name]
    return {
        "id": rule.id,
        "shortDescription": message(rule.short),
        "fullDescription": message(f"{rule.short}. {rule.help}"),
        "help": message(rule.help),
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
        "message": message(f"{finding.file}: {finding.sentence}"),
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
