"""Every format says the same as the verdict, whatever the verdict is: none decides anything."""

from __future__ import annotations

import json
import math
import re
from xml.etree import ElementTree as ET

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.api.metrics import Better, Metric, missing_metric
from harness.gate.decide import decide
from harness.gate.policy import Policy
from harness.gate.verdict import Outcome
from harness.reports import report_input
from harness.reports.content.api import Level, ReportInput
from harness.reports.content.disclosure import disclose
from harness.reports.content.report import OUTCOME_WORDS
from harness.reports.formats import as_json, card, comment, html, junit, markdown, sarif, step_summary
from tests.harness.reports.inputs import manifest, reports

SLOW = [HealthCheck.too_slow]


def verdicts(report: ReportInput) -> dict[str, str]:
    """The verdict that each format states, read back from it."""
    suite = ET.fromstring(junit.render(report))
    words = {word: str(outcome) for outcome, word in OUTCOME_WORDS.items()}

    def word(pattern: str, text: str) -> str:
        found = re.search(pattern, text, re.MULTILINE)
        assert found is not None
        return words[found[1]]

    return {
        "json": json.loads(as_json.render(report))["verdict"]["outcome"],
        "junit": next(each.get("value", "") for each in suite.iter("property") if each.get("name") == "verdict"),
        "sarif": json.loads(sarif.render(report))["runs"][0]["properties"]["verdict"],
        "html": word(r'<p class="verdict">(\w+)</p>', html.render(report)),
        "markdown": word(r"\A# (\w+): ", markdown.render(report)),
        "comment": word(r"^\*\*(\w+)\*\* ", comment.render(report)),
        "step": word(r"\A\*\*(\w+)\*\* ", step_summary.render(report)),
        "card": word(r"^\*\*(\w+)\*\* under the policy", card.render(report)),
    }


@settings(max_examples=20, suppress_health_check=SLOW)
@given(reports(), st.sampled_from(Level))
def test_every_format_states_the_verdict_it_was_given(report: ReportInput, level: Level) -> None:
    assert set(verdicts(disclose(report, level)).values()) == {str(report.verdict.outcome)}


VALUES = st.sampled_from([0.0, -0.0, 0.5, 1.0, 1e-300, 1e300, -1e300, 0.1 + 0.2])


@st.composite
def decided(draw: st.DrawFn) -> ReportInput:
    """An audit that was really decided: empty, all missing, of zeros, of huge numbers, and any mixture."""
    metrics: list[Metric] = []
    for place in range(draw(st.integers(0, 4))):
        key = f"toy/share/m{place}"
        if draw(st.booleans()):
            metrics.append(missing_metric(key, "no rows", better=Better.LOWER, missing=draw(st.integers(0, 9))))
            continue
        low, value, high = sorted((draw(VALUES), draw(VALUES), draw(VALUES)))
        n = draw(st.sampled_from([0, 29, 30, 10**12]))
        metrics.append(Metric(key=key, value=value, low=low, high=high, n=n, better=draw(st.sampled_from(Better))))
    gates = [
        {
            "id": f"g{place}",
            "metric": draw(st.sampled_from(["toy/share/m0", "toy/share/m1", "toy/share/m*", "toy/none"])),
            draw(st.sampled_from(["min", "max"])): draw(VALUES),
            "severity": draw(st.sampled_from(["block", "warn", "info"])),
            "on_missing": draw(st.sampled_from(["inconclusive", "block"])),
            "excuse": draw(st.sampled_from([[], ["not_applicable"]])),
            "evidence": {"decides": draw(st.sampled_from(["both", "worst", "best", "point"]))},
        }
        for place in range(draw(st.integers(0, 3)))
    ]
    try:
        policy = Policy.model_validate({"name": "p", "gates": gates})
    except ValueError:  # two bounds that contradict each other
        policy = None
    return report_input(
        manifest(["toy/share"]), metrics, decide(policy, metrics, not_applicable={"toy": "needs a head"})
    )


@settings(max_examples=40, suppress_health_check=SLOW)
@given(decided())
def test_every_format_agrees_with_a_real_decision_gate_by_gate(report: ReportInput) -> None:
    verdict = report.verdict
    assert set(verdicts(report).values()) == {str(verdict.outcome)}
    run = json.loads(sarif.render(report))["runs"][0]
    assert run["invocations"][0]["exitCode"] == verdict.exit_code
    cases = list(ET.fromstring(junit.render(report)).iter("testcase"))
    failed = any(case.find("failure") is not None for case in cases)
    skipped = any(case.find("skipped") is not None for case in cases)
    assert failed == (verdict.outcome is Outcome.BLOCK)
    assert skipped >= (verdict.outcome is Outcome.INCONCLUSIVE)
    names = [(case.get("classname"), case.get("name")) for case in cases]
    assert len(set(names)) == len(names)
    errors = [each for each in run["results"] if each["kind"] == "fail" and each["level"] == "error"]
    assert bool(errors) == (verdict.outcome is Outcome.BLOCK)
    stated = json.loads(as_json.render(report))
    assert [each["value"] for each in stated["metrics"]] == [metric.value for metric in report.metrics]
    index = yaml.safe_load(card.render(report).split("---")[1])
    values = [m["value"] for model in index.get("model-index", []) for r in model["results"] for m in r["metrics"]]
    assert values == [metric.value for metric in report.metrics if metric.value is not None]


def test_a_missing_number_is_null_and_no_number_is_nan() -> None:
    metrics = [missing_metric("toy/share/m", "no rows", better=Better.LOWER)]
    text = as_json.render(report_input(manifest(["toy/share"]), metrics, decide(None, metrics)))
    assert json.loads(text)["metrics"][0]["value"] is None
    assert "NaN" not in text
    with pytest.raises(ValueError, match="finite"):
        Metric(key="a", value=math.nan, n=1, better=Better.LOWER)
