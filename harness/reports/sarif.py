"""The verdict as SARIF 2.1.0 (OASIS standard): a rule per gate, a result per gate and metric that did not pass.

The level of a violated gate is its severity; a waiver is a suppression. An undecided gate is a result of kind `open`,
for which the standard (3.27.9, 3.27.10) fixes the level `none`. A result lies at its metric (a logical location) and in
verdict.json of the audit's folder: GitHub refuses a whole file in which one result has no physical location.
Fingerprints depend on policy, gate and metric only.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from harness.policy import Gate, Severity
from harness.reports.api import ReportInput
from harness.reports.content import evidence, gate_name, how_decided, outcome_label, plain, provenance
from harness.reports.markdown import code, text
from harness.verdict import GateResult, Outcome

suffix = ".sarif"

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_WHERE = "verdict.json"
_LEVELS = {Severity.BLOCK: "error", Severity.WARN: "warning", Severity.INFO: "note"}


def render(report: ReportInput) -> str:
    """One run; its properties hold the verdict, which also stands where no gate failed."""
    manifest, verdict = report.manifest, report.verdict
    version = manifest.versions.get("assay")
    rules = {item.gate.id: item.gate for item in verdict.gates}
    places = {name: place for place, name in enumerate(rules)}
    driver = {
        "name": "Assay",
        **({"version": version} if version else {}),
        "shortDescription": _message("Safety, robustness and privacy audits of language models"),
        "rules": [_rule(gate) for gate in rules.values()],
    }
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"assay/{_segment(verdict.policy)}/{_segment(manifest.audit_id)}"},
        "invocations": [_invocation(report)],
        "results": [
            _result(verdict.policy, item, places[item.gate.id])
            for item in verdict.gates
            if item.outcome is not Outcome.PASS
        ],
        "columnKind": "unicodeCodePoints",
        "properties": {
            "verdict": str(verdict.outcome),
            "reason": plain(verdict.reason),
            "level": str(report.level),
            "policyDigest": verdict.policy_digest,
            "provenance": [f"{label}: {value}" for label, value in provenance(report)],
        },
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(gate: Gate) -> dict[str, Any]:
    name = plain(f"{gate.metric} [{gate.slice}]" if gate.slice else gate.metric)
    why = plain(gate.reason)
    about = f"{name} {gate.rule}"
    return {
        "id": _rule_id(gate),
        "shortDescription": _message(about),
        "fullDescription": _message(f"{about}{f': {why}' if why else ''}"),
        "help": {
            **_message(f"{about}; {how_decided(gate)}. {why}"),
            "markdown": f"{code(name)} {code(gate.rule)}; {how_decided(gate)}. {text(why)}".strip(),
        },
        "defaultConfiguration": {"level": _LEVELS[gate.severity]},
        "properties": {"tags": ["assay", plain(gate.metric.partition("/")[0]) or "metric"]},
    }


def _result(policy: str, item: GateResult, place: int) -> dict[str, Any]:
    fails = Outcome.BLOCK in (item.outcome, item.effective)
    name = gate_name(item)
    print_ = _fingerprint(policy, item)
    todo = f" To do: {item.fix}" if item.fix else ""
    result: dict[str, Any] = {
        "ruleId": _rule_id(item.gate),
        "ruleIndex": place,
        "kind": "fail" if fails else "open",
        "level": _LEVELS[item.severity] if fails else "none",
        "message": _message(f"{outcome_label(item)}: {item.reason}.{todo}"),
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": _WHERE}, "region": {"startLine": 1}},
                "logicalLocations": [{"name": name.rpartition("/")[2] or name, "fullyQualifiedName": name}],
            }
        ],
        "partialFingerprints": {"assayGate/v1": print_, "primaryLocationLineHash": f"{print_[:16]}:1"},
        "properties": dict(evidence(item)),
    }
    if item.waived and item.gate.waiver is not None:
        waiver = item.gate.waiver
        answer = plain(f"{waiver.by} until {waiver.until}: {waiver.reason}")
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": answer}]
    return result


def _invocation(report: ReportInput) -> dict[str, Any]:
    manifest, verdict = report.manifest, report.verdict
    return {
        "executionSuccessful": True,
        "exitCode": int(verdict.exit_code),
        "exitCodeDescription": plain(verdict.reason),
        "commandLine": plain(manifest.command),
        "toolExecutionNotifications": [
            {"level": "warning", "message": _message(warning)} for warning in verdict.warnings
        ],
        "startTimeUtc": _utc(manifest.created),
        **({"endTimeUtc": _utc(manifest.finished)} if manifest.finished else {}),
    }


def _rule_id(gate: Gate) -> str:
    return plain(gate.id) or "gate"


def _message(value: str) -> dict[str, str]:
    """A plain-text message: braces are doubled (3.11.5), and nothing can be read as an embedded link (3.11.6)."""
    return {"text": plain(value).replace("{", "{{").replace("}", "}}").replace("](", "] (")}


def _fingerprint(policy: str, item: GateResult) -> str:
    parts = [policy, item.gate.id, item.metric, item.slice]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _segment(name: str) -> str:
    """One segment of a hierarchical id."""
    return plain(name).replace("/", "_") or "none"


def _utc(moment: str) -> str:
    return moment.replace("+00:00", "Z")
