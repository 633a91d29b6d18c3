from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings

from harness.base.loglines import plain
from harness.gate.decide import decide
from harness.gate.verdict import Outcome
from harness.reports.content.api import ReportInput, Undecided
from harness.reports.formats.junit import render
from tests.harness.reports.inputs import HOSTILE, by_hand, compared, manifest, reports

ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"name", "classname", "time"},
    "failure": {"type", "message"},
    "skipped": {"type", "message"},
    "system-out": set(),
    "system-err": set(),
}
"""What Jenkins' and Surefire's schema allow of what we write; all of it is required here."""
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase", "system-out", "system-err"},
    "properties": {"property"},
    "testcase": {"failure", "skipped", "system-out", "system-err"},
}
TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")
"""Surefire's pattern of a time."""


def parsed(report: ReportInput) -> ET.Element:
    """The suite; raises AssertionError where the schema would not hold."""
    root = ET.fromstring(render(report))
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.keys()) == ATTRIBUTES[element.tag]
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
        assert TIME.fullmatch(element.get("time", "0"))
    suite = root.find("testsuite")
    assert suite is not None
    for holder in (root, suite):
        for count, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
            assert holder.get(count) == str(sum(1 for _ in suite.iter(tag)))
    assert suite.get("skipped") == str(sum(1 for _ in suite.iter("skipped")))
    return suite


def properties(suite: ET.Element) -> dict[str, str]:
    return {each.get("name", ""): each.get("value", "") for each in suite.iter("property")}


@settings(max_examples=25)
@given(reports())
def test_a_test_case_per_gate_says_how_it_counts(report: ReportInput) -> None:
    suite = parsed(report)
    assert properties(suite)["verdict"] == report.verdict.outcome
    assert properties(suite)["exit_code"] == str(int(report.verdict.exit_code))
    cases = suite.findall("testcase")
    for case, item in zip(cases, report.verdict.gates, strict=False):
        assert (case.find("failure") is not None) == (item.effective is Outcome.BLOCK)
        assert (case.find("skipped") is not None) == (item.effective is Outcome.INCONCLUSIVE)
        quiet = item.effective is Outcome.PASS and item.outcome is not Outcome.PASS
        assert (case.find("system-err") is not None) == quiet
    states = {item.effective for item in report.verdict.gates}
    assert len(cases) == len(report.verdict.gates) + (report.verdict.outcome not in states)


def test_evidence_and_names_are_stable() -> None:
    suite = parsed(compared())
    names = [(case.get("classname"), case.get("name")) for case in suite.iter("testcase")]
    assert names == [
        ("toy.toy.share", "no worse"),
        ("toy.toy.share", "flips"),
        ("toy.other.auc", "auc: other/auc/auc"),
        ("toy.toy.share", "old"),
        ("toy.toy.share", "good"),
    ]
    assert Counter(names).most_common(1)[0][1] == 1
    found = suite.find("testcase/failure")
    assert found is not None
    assert found.get("message") == "BLOCK: no worse is block"
    evidence = suite.findtext("testcase/system-out") or ""
    for line in [
        f"rule: {compared().verdict.gates[0].gate.rule}",
        "regression: 0.0500 [0.0300, 0.0700]",
        "flips: 60 worse, 10 better",
        "compared: 990 pairs, 10 only in the candidate",
        "what to do: train longer",
    ]:
        assert line in evidence.splitlines(), line
    errors = [case.findtext("system-err") for case in suite.iter("testcase")]
    assert errors == [None, None, "BLOCK (warning): auc is block", "BLOCK (waived): old is block", None]
    assert (suite.get("time"), suite.get("timestamp")) == ("60.000", "2026-01-02T03:04:05")


def test_no_decision_is_no_passed_test() -> None:
    report = by_hand()
    suite = parsed(replace(report, verdict=decide(None, [])))
    assert (suite.get("tests"), suite.get("skipped")) == ("1", "1")


def test_an_undecided_gate_fails_where_the_report_says_so() -> None:
    """CI shows a skipped test in green: a release that nobody decided must be able to read as red."""
    report = compared()
    assert [parsed(report).get(count) for count in ("failures", "skipped")] == ["1", "1"]
    strict = replace(report, undecided=Undecided.FAILURE)
    suite = parsed(strict)
    assert [suite.get(count) for count in ("failures", "skipped")] == ["2", "0"]
    found = suite.findall("testcase/failure")
    assert [each.get("type") for each in found] == ["block", "inconclusive"]
    assert (found[1].get("message") or "").startswith("INCONCLUSIVE: flips is inconclusive")
    suite = parsed(replace(strict, verdict=decide(None, [])))  # no gate at all
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("1", "1", "0")


@settings(max_examples=25)
@given(reports())
def test_with_undecided_as_failure_only_a_pass_is_green(report: ReportInput) -> None:
    suite = parsed(replace(report, undecided=Undecided.FAILURE))
    assert suite.get("skipped") == "0"
    effective = {item.effective for item in report.verdict.gates} | {report.verdict.outcome}
    assert (suite.get("failures") == "0") == (effective == {Outcome.PASS})


def test_two_models_under_one_policy_share_no_name_of_a_test() -> None:
    def names(report: ReportInput) -> set[tuple[str | None, str | None]]:
        return {(case.get("classname"), case.get("name")) for case in parsed(report).iter("testcase")}

    other = replace(compared(), manifest=manifest(["toy/share"], name="other"))
    assert not names(compared()) & names(other)
    assert parsed(compared()).get("name") == "assay: toy: release"


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_reads_as_itself(hostile: str) -> None:
    suite = parsed(replace(by_hand(), manifest=manifest(["toy/share"], hostile)))
    said = properties(suite)["checkpoint"]
    assert said == re.sub("[\ufffe\uffff]", "\ufffd", plain(f"pypi:model{hostile}"))
