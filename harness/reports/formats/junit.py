"""The verdict as JUnit XML, as Jenkins, GitLab and Surefire read it: a test case per gate.

A gate that blocks is a failure, one that is undecided is skipped, or a failure too where the report says so; one that
only warns, or is waived, passes with a line on its standard error, and one that was not measured and need not be is
skipped. Where no gate tells what the verdict is, one more
test case does, so that a run without a decision never reads as a run of passed tests. Suite and class names begin with
the audit's: readers that merge files by name keep two models apart.
"""

from __future__ import annotations

import re
from datetime import datetime
from xml.etree import ElementTree as ET

from harness.base.loglines import plain
from harness.gate.verdict import GateResult, Outcome
from harness.reports.content.api import ReportInput, Undecided
from harness.reports.content.report import OUTCOME_WORDS, evidence, gate_title, outcome_label, provenance

suffix = ".junit.xml"

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document can hold, escaped or not."""
_VERDICT = "verdict"


def render(report: ReportInput) -> str:
    """One test suite: its properties say what was audited, its test cases what each gate decided, and why."""
    cases = [_case(item, report) for item in report.verdict.gates]
    if not any(item.effective is report.verdict.outcome for item in report.verdict.gates):
        cases.append(_verdict_case(report))
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": "0",
    }
    skipped = str(sum(case.find("skipped") is not None for case in cases))
    policy = report.verdict.policy or "no policy"
    suite = ET.Element(
        "testsuite", {"name": _text(f"assay: {report.manifest.name}: {policy}"), **counts, "skipped": skipped}
    )
    suite.set("time", _seconds(report))
    suite.set("timestamp", report.manifest.created.partition("+")[0])
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(report):
        ET.SubElement(properties, "property", {"name": name, "value": _text(value)})
    suite.extend(cases)
    _child(suite, "system-out", f"{OUTCOME_WORDS[report.verdict.outcome]}: {report.verdict.reason}")
    if report.verdict.warnings:
        _child(suite, "system-err", "\n".join(map(plain, report.verdict.warnings)))
    root = ET.Element("testsuites", {"name": "assay", **counts, "time": suite.get("time", "0")})
    root.append(suite)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _case(item: GateResult, report: ReportInput) -> ET.Element:
    about = item.gate.metric.rpartition("/")[0].replace("/", ".")
    case = ET.Element("testcase", {"classname": _class(report, about), "name": _text(gate_title(item)), "time": "0"})
    _mark(case, item.effective, f"{outcome_label(item)}: {item.reason}", report.undecided)
    if item.unmeasured:
        _skip(case, f"{outcome_label(item)}: {item.reason}", "not measured")
    _child(case, "system-out", "\n".join(f"{label}: {value}" for label, value in evidence(item)))
    if item.effective is Outcome.PASS and item.outcome is not Outcome.PASS:
        _child(case, "system-err", f"{outcome_label(item)}: {item.reason}")
    return case


def _verdict_case(report: ReportInput) -> ET.Element:
    case = ET.Element("testcase", {"classname": _class(report, ""), "name": _VERDICT, "time": "0"})
    _mark(case, report.verdict.outcome, report.verdict.reason, report.undecided)
    return case


def _class(report: ReportInput, about: str) -> str:
    return _text(".".join(part for part in (report.manifest.name, about) if part)) or "assay"


def _mark(case: ET.Element, outcome: Outcome, reason: str, undecided: Undecided) -> None:
    tag = {Outcome.BLOCK: "failure", Outcome.INCONCLUSIVE: str(undecided)}.get(outcome)
    if tag is not None:
        found = _child(case, tag, reason)
        found.set("type", str(outcome))
        found.set("message", _text(reason))


def _skip(case: ET.Element, reason: str, kind: str) -> None:
    found = _child(case, "skipped", reason)
    found.set("type", kind)
    found.set("message", _text(reason))


def _child(parent: ET.Element, tag: str, text: str) -> ET.Element:
    child = ET.SubElement(parent, tag)
    child.text = "\n".join(_text(line) for line in text.split("\n"))
    return child


def _properties(report: ReportInput) -> list[tuple[str, str]]:
    verdict = report.verdict
    decided = [
        ("verdict", str(verdict.outcome)),
        ("reason", verdict.reason),
        ("exit_code", str(int(verdict.exit_code))),
        ("level", report.level),
    ]
    return [*decided, *provenance(report)]


def _seconds(report: ReportInput) -> str:
    """How long the audit took, without the group marks that Surefire's pattern would allow; '0' when unknown."""
    manifest = report.manifest
    try:
        span = datetime.fromisoformat(manifest.finished or "") - datetime.fromisoformat(manifest.created)
    except (ValueError, TypeError):
        return "0"
    return f"{max(0.0, span.total_seconds()):.3f}"


def _text(value: object) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", plain(value))
