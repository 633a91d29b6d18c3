"""The verdict as SARIF 2.1.0 (OASIS standard): a rule per gate, a result per gate and metric that did not pass.

The level of a violated gate is its severity; a waiver is a suppression. An undecided gate is a result of kind `open`
(`notApplicable` where it was not measured and is excused), for which the standard (3.27.9, 3.27.10) fixes the level
`none`. A result lies at its metric (a logical location) and in verdict.json of the audit's folder: GitHub refuses a
whole file in which one result has no physical location.
Category and fingerprints depend on audit name, checkpoint, policy, gate and metric only: an alert stays one alert over
re-audits of a model, and two models under one policy never replace each other's. What GitHub would refuse is left out,
blocks last, and a notification says how much.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

from harness.base.loglines import plain
from harness.base.sarif_limits import category, left_out, message, rule_id, within_limits
from harness.gate.policy import Gate, Severity
from harness.gate.verdict import GateResult, Outcome
from harness.reports.content.api import ReportInput
from harness.reports.content.identity import identity
from harness.reports.content.report import attention, evidence, gate_name, how_decided, outcome_label, provenance
from harness.reports.formats.markdown import code, text

suffix = ".sarif"

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_WHERE = "verdict.json"
_LEVELS = {Severity.BLOCK: "error", Severity.WARN: "warning", Severity.INFO: "note"}


def render(report: ReportInput) -> str:
    """One run; its properties hold the verdict, which also stands where no gate failed."""
    return within_limits(lambda most: _log(report, most))


def _log(report: ReportInput, most: int) -> dict[str, Any]:
    manifest, verdict = report.manifest, report.verdict
    version = manifest.versions.get("assay")
    found = attention(report)
    failed = found if len(found) <= most else found[:most]  # what blocks the release stands first
    rules = {item.gate.id: item.gate for item in (verdict.gates if len(verdict.gates) <= most else failed)}
    places = {name: place for place, name in enumerate(rules)}
    seen: Counter[str] = Counter()
    driver = {
        "name": "Assay",
        **({"version": version} if version else {}),
        "shortDescription": message("Safety, robustness and privacy audits of language models"),
        "rules": [_rule(gate) for gate in rules.values()],
    }
    key = json.dumps([identity(report), verdict.policy])
    named = category("assay", verdict.policy, manifest.name, key=key)
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"{named}/{plain(manifest.audit_id).replace('/', '_') or 'none'}"},
        "invocations": [_invocation(report, most, len(failed), len(found))],
        "results": [_result(key, item, places[item.gate.id], seen) for item in _in_order(report, failed)],
        "columnKind": "unicodeCodePoints",
        "properties": {
            "verdict": str(verdict.outcome),
            "reason": plain(verdict.reason),
            "level": str(report.level),
            "policyDigest": verdict.policy_digest,
            "provenance": [f"{label}: {value}" for label, value in provenance(report)],
        },
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _in_order(report: ReportInput, failed: list[GateResult]) -> list[GateResult]:
    """As in the verdict."""
    chosen = {id(item) for item in failed}
    return [item for item in report.verdict.gates if id(item) in chosen]


def _rule(gate: Gate) -> dict[str, Any]:
    name = plain(f"{gate.metric} [{gate.slice}]" if gate.slice else gate.metric)
    why = plain(gate.reason)
    about = f"{name} {gate.rule}"
    return {
        "id": rule_id(gate.id),
        "shortDescription": message(about),
        "fullDescription": message(f"{about}{f': {why}' if why else ''}"),
        "help": {
            **message(f"{about}; {how_decided(gate)}. {why}"),
            "markdown": f"{code(name)} {code(gate.rule)}; {how_decided(gate)}. {text(why)}".strip(),
        },
        "defaultConfiguration": {"level": _LEVELS[gate.severity]},
        "properties": {"tags": ["assay", plain(gate.metric.partition("/")[0]) or "metric"]},
    }


def _result(key: str, item: GateResult, place: int, seen: Counter[str]) -> dict[str, Any]:
    fails = Outcome.BLOCK in (item.outcome, item.effective)
    name = gate_name(item)
    print_ = _fingerprint(key, item)
    seen[print_] += 1  # slices that were masked may look the same
    todo = f" To do: {item.fix}" if item.fix else ""
    result: dict[str, Any] = {
        "ruleId": rule_id(item.gate.id),
        "ruleIndex": place,
        "kind": "fail" if fails else "notApplicable" if item.unmeasured else "open",
        "level": _LEVELS[item.severity] if fails else "none",
        "message": message(f"{outcome_label(item)}: {item.reason}.{todo}"),
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": _WHERE}, "region": {"startLine": 1}},
                "logicalLocations": [{"name": name.rpartition("/")[2] or name, "fullyQualifiedName": name}],
            }
        ],
        "partialFingerprints": {
            "assayGate/v2": f"{print_}:{seen[print_]}",
            "primaryLocationLineHash": f"{print_[:16]}:{seen[print_]}",
        },
        "properties": dict(evidence(item)),
    }
    if item.waived and item.gate.waiver is not None:
        waiver = item.gate.waiver
        answer = plain(f"{waiver.by} until {waiver.until}: {waiver.reason}")
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": answer}]
    return result


def _invocation(report: ReportInput, most: int, shown: int, total: int) -> dict[str, Any]:
    manifest, verdict = report.manifest, report.verdict
    where = "verdict.json and the other reports of the audit have them all"
    warnings = verdict.warnings[:most]
    return {
        "executionSuccessful": True,
        "exitCode": int(verdict.exit_code),
        "exitCodeDescription": plain(verdict.reason),
        "commandLine": plain(manifest.command),
        "toolExecutionNotifications": [
            *left_out(shown, total, "gates that did not pass", where),
            *left_out(len(warnings), len(verdict.warnings), "warnings", where),
            *({"level": "warning", "message": message(warning)} for warning in warnings),
        ],
        "startTimeUtc": _utc(manifest.created),
        **({"endTimeUtc": _utc(manifest.finished)} if manifest.finished else {}),
    }


def _fingerprint(key: str, item: GateResult) -> str:
    parts = [key, item.gate.id, item.metric, item.slice]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _utc(moment: str) -> str:
    return moment.replace("+00:00", "Z")
