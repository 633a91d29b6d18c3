from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from harness.reports.api import ReportInput
from harness.reports.content import plain
from harness.reports.sarif import render
from harness.verdict import Outcome
from tests.harness.reports.inputs import HOSTILE, by_hand, compared, manifest, reports
from tests.harness.reports.sarif_rules import check_log


def run_of(report: ReportInput) -> dict[str, Any]:
    log = json.loads(render(report))
    check_log(log)
    (run,) = log["runs"]
    return dict(run)


@settings(max_examples=25)
@given(reports())
def test_a_result_per_gate_that_did_not_pass(report: ReportInput) -> None:
    run = run_of(report)
    assert run["properties"]["verdict"] == report.verdict.outcome
    assert run["invocations"][0]["exitCode"] == report.verdict.exit_code
    failed = [item for item in report.verdict.gates if item.outcome is not Outcome.PASS]
    assert len(run["results"]) == len(failed)
    for result, item in zip(run["results"], failed, strict=True):
        assert (result["kind"] == "fail") == (Outcome.BLOCK in (item.outcome, item.effective))
        assert ("suppressions" in result) == item.waived
    assert len(run["tool"]["driver"]["rules"]) == len({item.gate.id for item in report.verdict.gates})


def test_level_is_severity_and_a_waiver_is_a_suppression() -> None:
    run = run_of(compared())
    shown = [(each["ruleId"], each["kind"], each["level"], "suppressions" in each) for each in run["results"]]
    assert shown == [
        ("no worse", "fail", "error", False),
        ("flips", "open", "none", False),
        ("auc", "fail", "warning", False),
        ("old", "fail", "error", True),
    ]
    assert run["results"][3]["suppressions"][0]["justification"] == "Ann until 2030-01-01: known since spring"
    assert run["results"][2]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "other/auc/auc"
    assert run["results"][0]["message"]["text"].endswith("To do: train longer")
    help_ = run["tool"]["driver"]["rules"][2]["help"]
    assert help_["text"].startswith("other/auc/* <= 0.6; the whole interval decides, on at least 30 examples")
    assert len(run["invocations"][0]["toolExecutionNotifications"]) == 2


def test_fingerprints_are_those_of_the_rule_whatever_was_measured() -> None:
    def prints(report: ReportInput) -> list[dict[str, str]]:
        return [result["partialFingerprints"] for result in run_of(report)["results"]]

    report = compared()
    later = tuple(item.model_copy(update={"value": 0.1, "reason": "else"}) for item in report.verdict.gates)
    again = replace(
        report,
        verdict=report.verdict.model_copy(update={"gates": later, "policy_digest": "0" * 64}),
        manifest=manifest(["toy/share"], audit_id="another"),
    )
    assert prints(again) == prints(report)
    assert len({each["assayGate/v1"] for each in prints(report)}) == 4
    other = replace(report, verdict=report.verdict.model_copy(update={"policy": "other"}))
    assert not {each["assayGate/v1"] for each in prints(other)} & {each["assayGate/v1"] for each in prints(report)}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_reads_as_itself(hostile: str) -> None:
    run = run_of(replace(by_hand(), manifest=manifest(["toy/share"], hostile)))
    assert run["invocations"][0]["commandLine"] == plain(f"assay run audit.yaml{hostile}")
