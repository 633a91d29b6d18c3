from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from harness.base import sarif_limits
from harness.base.loglines import plain
from harness.base.sarif_limits import message
from harness.gate.policy import Gate, Severity
from harness.gate.verdict import GateResult, Outcome
from harness.reports.content.api import Level, ReportInput
from harness.reports.content.disclosure import disclose
from harness.reports.formats.sarif import render
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
    assert len({each["assayGate/v2"] for each in prints(report)}) == 4
    other = replace(report, verdict=report.verdict.model_copy(update={"policy": "other"}))
    assert not {each["assayGate/v2"] for each in prints(other)} & {each["assayGate/v2"] for each in prints(report)}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_reads_as_itself(hostile: str) -> None:
    run = run_of(replace(by_hand(), manifest=manifest(["toy/share"], hostile)))
    assert run["invocations"][0]["commandLine"] == plain(f"assay run audit.yaml{hostile}")


def prints_of(report: ReportInput) -> set[str]:
    results = run_of(report)["results"]
    return {print_ for each in results for print_ in each["partialFingerprints"].values()}


def category_of(report: ReportInput) -> str:
    """As GitHub reads it: all before the last slash."""
    return str(run_of(report)["automationDetails"]["id"].rpartition("/")[0])


def of_model(report: ReportInput, source: str, **keys: Any) -> ReportInput:
    record = manifest(["toy/share"], **keys)
    return replace(
        report,
        manifest=record.model_copy(update={"checkpoint": record.checkpoint.model_copy(update={"source": source})}),
    )


@pytest.mark.parametrize(
    ("source", "keys"),
    [
        ("runs/b/final", {}),
        ("runs/a/final", {"name": "other"}),
        ("runs/a/final", {"spec": {"checkpoint": {"source": "runs/a/final", "base": "bert"}}}),
    ],
)
def test_two_models_under_one_policy_never_replace_each_other(source: str, keys: dict[str, Any]) -> None:
    """github/codeql-action#872: a later upload of the same tool and category replaces the earlier one."""
    one, two = of_model(compared(), "runs/a/final"), of_model(compared(), source, **keys)
    assert category_of(one) != category_of(two)
    assert not prints_of(one) & prints_of(two)


def test_another_audit_of_a_model_keeps_its_category_and_alerts_at_every_level() -> None:
    """github/codeql-action#872: otherwise each audit opens its alerts anew, and the old ones stay open for ever."""
    one = of_model(compared(), "runs/a/final#sha256=00")
    later = of_model(compared(), "runs/a/final", audit_id="later")
    assert run_of(one)["automationDetails"]["id"] != run_of(later)["automationDetails"]["id"]
    for level in Level:
        shown = disclose(later, level)
        assert (category_of(shown), prints_of(shown)) == (category_of(one), prints_of(one))
    assert "runs/a" not in render(disclose(later, Level.SUMMARY))


def test_policies_whose_names_look_alike_have_categories_of_their_own() -> None:
    def named(policy: str) -> ReportInput:
        report = compared()
        return replace(report, verdict=report.verdict.model_copy(update={"policy": policy}))

    assert len({category_of(named(name)) for name in ("a/b", "a_b", "x" * 90 + "1", "x" * 90 + "2", "", "none")}) == 6


def test_slices_that_were_masked_alike_keep_alerts_of_their_own() -> None:
    report = compared()
    (item, *_) = report.verdict.gates
    slices = tuple(item.model_copy(update={"slice": f"{who}@example.com"}) for who in ("ann", "bob"))
    masked = disclose(replace(report, verdict=report.verdict.model_copy(update={"gates": slices})), Level.FINDINGS)
    assert {gate.slice for gate in masked.verdict.gates} == {"[masked e-mail address]"}
    assert len(prints_of(masked)) == 4


def many(count: int, blocks: int) -> ReportInput:
    """Warnings first, and at the end the gates that block."""
    gates = []
    for at in range(count):
        last = at >= count - blocks
        severity = Severity.BLOCK if last else Severity.WARN
        gate = Gate(id=f"g{at}", metric="toy/share/flips", max=0.1, severity=severity)
        effective = Outcome.BLOCK if last else Outcome.PASS
        gates.append(GateResult(gate=gate, outcome=Outcome.BLOCK, effective=effective, reason=f"reason {at}"))
    report = compared()
    return replace(report, verdict=report.verdict.model_copy(update={"gates": tuple(gates)}))


def test_more_results_than_github_takes_are_left_out_and_counted_blocks_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub refuses a file with more than 25,000 results whole: then nobody sees a block."""
    assert sarif_limits.MOST == 25_000
    monkeypatch.setattr(sarif_limits, "MOST", 10)
    run = run_of(many(25, 3))
    assert [each["ruleId"] for each in run["results"]] == [*(f"g{at}" for at in range(7)), "g22", "g23", "g24"]
    assert [each["id"] for each in run["tool"]["driver"]["rules"]].count("g24") == 1
    assert len(run["tool"]["driver"]["rules"]) == 10
    notes = [each["message"]["text"] for each in run["invocations"][0]["toolExecutionNotifications"]]
    assert notes[0].startswith("15 of 25 gates that did not pass are left out, GitHub takes no more; verdict.json")
    whole = run_of(many(10, 3))
    assert len(whole["results"]) == 10
    assert not any("left out" in each["message"]["text"]
                   for each in whole["invocations"][0]["toolExecutionNotifications"])  # fmt: skip


def test_a_file_too_large_as_gzip_gets_shorter_until_github_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    report = many(400, 2)
    whole = len(gzip.compress(render(report).encode()))
    monkeypatch.setattr(sarif_limits, "MOST", 400)
    monkeypatch.setattr(sarif_limits, "COMPRESSED", whole // 3)
    assert len(gzip.compress(render(report).encode())) <= whole // 3
    run = run_of(report)
    assert 0 < len(run["results"]) < 200
    assert [each["ruleId"] for each in run["results"]][-2:] == ["g398", "g399"]
    (note, *_) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"].startswith(f"{400 - len(run['results'])} of 400 ")


@pytest.mark.parametrize("text", ["x" * 5_000, "{" * 2_000, "\N{GRINNING FACE}" * 1_000, "a](" * 1_500, "é" * 1_024])
def test_a_message_is_no_longer_than_github_shows_and_says_so(text: str) -> None:
    short = message(text)["text"]
    assert len(short.encode("utf-16-le")) // 2 <= 1_024
    assert short.endswith("…") == (text != "é" * 1_024)
    assert len(short) >= 450
    assert not short.replace("{{", "").replace("}}", "").count("{")


def test_a_long_rule_id_is_cut_and_stays_its_own() -> None:
    ids = {sarif_limits.rule_id("g" * 300 + end) for end in ("a", "b")}
    assert len(ids) == 2
    assert max(map(len, ids)) <= 255
