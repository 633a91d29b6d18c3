"""What a policy can say beyond a bound: who must prove what, missing numbers, severities, waivers, patterns."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from harness.api.metrics import Better, Metric, missing_metric
from harness.base.language import spoken
from harness.errors import UsageError
from harness.gate.decide import Policy, Verdict, decide, load_policy
from harness.gate.policy import Gate, matches
from harness.gate.verdict import Compared, Comparison, WaiverState
from harness.reports.content.recorded import retold
from harness.stats.intervals import clopper_pearson

KEY = "s/p/m"
DAY = date(2026, 6, 1)


def metric(low: float | None = 0.2, high: float | None = 0.3, **keys: Any) -> Metric:
    values = {"key": KEY, "value": 0.25, "low": low, "high": high, "n": 100, "better": Better.LOWER}
    return Metric(**{**values, **keys})


def share(hits: int, n: int, **keys: Any) -> Metric:
    found = clopper_pearson(hits, n)
    return metric(found.low, found.high, value=hits / n, n=n, interval=found.method, **keys)


def policy(*gates: dict[str, Any], **keys: Any) -> Policy:
    filled = [{"id": f"gate {index}", "metric": KEY, **gate} for index, gate in enumerate(gates)]
    return Policy.model_validate({"name": "release", "gates": filled, **keys})


@pytest.mark.parametrize(
    ("decides", "outcomes"),
    [
        ("both", ["pass", "inconclusive", "inconclusive", "block"]),
        ("worst", ["pass", "block", "block", "block"]),
        ("best", ["pass", "pass", "pass", "block"]),
        ("point", ["pass", "pass", "block", "block"]),
    ],
)
def test_who_must_prove_what(decides: str, outcomes: list[str]) -> None:
    rules = policy({"max": 0.35, "evidence": {"decides": decides}})
    ends = [(0.2, 0.3, 0.25), (0.25, 0.4, 0.32), (0.3, 0.45, 0.37), (0.4, 0.5, 0.45)]
    assert [decide(rules, [metric(a, b, value=v)]).outcome for a, b, v in ends] == outcomes


def test_the_confidence_of_the_policy_decides() -> None:
    measured = share(20, 100)  # Wilson at 95 %: [0.133, 0.289]
    for confidence, outcome in ((0.95, "pass"), (0.999, "inconclusive"), (0.6, "pass")):
        verdict = decide(policy({"max": 0.3, "evidence": {"confidence": confidence}}), [measured])
        assert verdict.outcome == outcome
        expected = clopper_pearson(20, 100, confidence)
        assert (verdict.gates[0].low, verdict.gates[0].high) == pytest.approx((expected.low, expected.high))
        assert verdict.gates[0].alpha == pytest.approx((1 - confidence) / 2)


@pytest.mark.parametrize(
    ("on_missing", "outcome", "warned"),
    [("inconclusive", "inconclusive", 0), ("block", "block", 0)],
)
@pytest.mark.parametrize("metrics", [[], [missing_metric(KEY, "no rows", better=Better.LOWER)]])
def test_what_is_missing_means_what_the_policy_says(
    on_missing: str, outcome: str, warned: int, metrics: list[Metric]
) -> None:
    verdict = decide(policy({"max": 1, "on_missing": on_missing}), metrics)
    assert verdict.outcome == outcome
    assert len(verdict.warnings) == warned


def test_too_few_examples_are_not_missing() -> None:
    verdict = decide(policy({"max": 1, "on_missing": "block", "min_examples": 500}), [metric()])
    assert verdict.outcome == "inconclusive"
    assert verdict.gates[0].fix == "raise limits.cases by at least 400, or give more data"


@pytest.mark.parametrize(
    ("severity", "outcome", "warnings"),
    [("block", "block", 0), ("warn", "pass", 1), ("info", "pass", 0)],
)
def test_severity_says_what_a_broken_rule_means(severity: str, outcome: str, warnings: int) -> None:
    verdict = decide(policy({"max": 0.1, "severity": severity}, {"max": 1}), [metric()])
    result = verdict.gates[0]
    assert (verdict.outcome, result.outcome, result.effective) == (outcome, "block", outcome)
    assert len(verdict.warnings) == warnings


def test_the_sentence_names_what_does_not_count() -> None:
    waiver = {"until": "2027-01-01", "by": "ann", "reason": "fixed soon"}
    gates: list[dict[str, Any]] = [
        {"max": 1},
        {"max": 0.1, "severity": "warn"},
        {"max": 0.1, "severity": "info"},
        {"max": 0.1, "waiver": waiver},
    ]
    verdict = decide(policy(*gates), [metric()], today=DAY)
    assert verdict.reason == (
        "1 of 4 gates passed with their whole confidence interval; 1 waived; 1 not met, only warned about; "
        "1 not met, for information only"
    )
    assert verdict.decided_on == DAY


@pytest.mark.parametrize("limit", [0.1, 0.25], ids=["broken", "undecided"])
@pytest.mark.parametrize(
    ("today", "state", "effective"),
    [
        (date(2026, 5, 31), "active", "pass"),
        (date(2026, 6, 1), "active", "pass"),
        (date(2026, 6, 2), "expired", "block"),
        (None, "expired", "block"),
    ],
)
def test_a_waiver_holds_until_its_day_and_then_blocks(
    limit: float, today: date | None, state: str, effective: str
) -> None:
    waiver = {"until": "2026-06-01", "by": "ann", "reason": "fixed in the next release"}
    verdict = decide(policy({"max": limit, "waiver": waiver}), [metric()], today=today)
    result = verdict.gates[0]
    assert (result.waiver, result.effective, verdict.outcome) == (state, effective, effective)
    assert (result.waived, result.expired) == (state == "active", state == "expired")
    if state == "expired":
        assert verdict.reason.startswith(
            "1 of 1 gates blocked; gate 0: its waiver by ann ended on 2026-06-01, and the 95 %"
        )
    else:
        assert "waived by ann until 2026-06-01 (fixed in the next release)" in verdict.warnings[0]


@pytest.mark.parametrize(("today", "state"), [(DAY, WaiverState.UNUSED), (date(2028, 1, 1), WaiverState.EXPIRED)])
def test_a_waiver_that_is_not_needed_is_to_be_removed(today: date, state: WaiverState) -> None:
    waiver = {"until": "2027-01-01", "by": "ann", "reason": "x"}
    verdict = decide(policy({"max": 0.9, "waiver": waiver}), [metric()], today=today)
    assert (verdict.outcome, verdict.gates[0].waiver) == ("pass", state)
    assert verdict.warnings[0].endswith("remove it")


def test_patterns_make_a_result_for_each_metric_and_slice() -> None:
    metrics = [metric(key=f"adversarial/{name}/asr", slice=part) for name in ("b", "a") for part in ("", "long")]
    rules = policy({"metric": "adversarial/*/asr", "slice": "*", "max": 0.35})
    found = [(result.metric, result.slice, str(result.outcome)) for result in decide(rules, metrics).gates]
    assert found == [(f"adversarial/{name}/asr", part, "pass") for name in "ab" for part in ("", "long")]
    assert len(decide(policy({"metric": "adversarial/*/asr", "max": 0.35}), metrics).gates) == 2


def test_a_pattern_does_not_forget_a_probe_that_did_not_finish() -> None:
    metrics = [metric(key="adversarial/a/asr")]
    for pattern in ("adversarial/*/asr", "adversarial/*", "*/asr", "*"):
        verdict = decide(policy({"metric": pattern, "max": 0.35}), metrics, incomplete={"adversarial/b": "time"})
        assert [str(result.outcome) for result in verdict.gates] == ["pass", "inconclusive"], pattern
        assert verdict.gates[1].reason == "adversarial/b did not finish: time"
    assert (
        decide(policy({"metric": "adversarial/*", "max": 0.35}), metrics, incomplete={"bias/b": "time"}).outcome
        == "pass"
    )


def test_a_pattern_that_fits_nothing_is_missing() -> None:
    verdict = decide(policy({"metric": "bias/*", "max": 1}), [metric()])
    assert verdict.gates[0].reason == "no metric was measured that fits bias/*"
    assert verdict.outcome == "inconclusive"


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("a/*/c", "a/b/c", True),
        ("a/*", "a/b/c", True),
        ("*", "", True),
        ("a.c", "abc", False),
        ("a*", "ba", False),
        ("[a]*", "a", False),
    ],
)
def test_only_the_star_is_special(pattern: str, text: str, fits: bool) -> None:
    assert matches(pattern, text) is fits


def test_a_privacy_claim_must_have_its_audit() -> None:
    rules = policy(
        {"max": 1}, requires=[{"metric": "privacy/*", "when": "privacy_claim", "reason": "claims are checked"}]
    )
    assert decide(rules, [metric()]).outcome == "pass"
    claimed = decide(rules, [metric()], privacy_claim=True)
    assert claimed.outcome == "block"
    assert claimed.reason == "1 of 2 gates blocked; requires privacy/*: no metric was measured that fits privacy/*"
    audited = [metric(), metric(None, None, key="privacy/audit/epsilon_lower")]
    assert decide(rules, audited, privacy_claim=True).outcome == "pass"


def test_a_required_metric_must_have_a_value() -> None:
    rules = policy({"max": 1}, requires=[KEY, "s/p/other"])
    lost = missing_metric("s/p/other", "no rows", better=Better.LOWER)
    assert decide(rules, [metric(), lost]).outcome == "block"
    assert decide(rules, [metric(), metric(key="s/p/other")]).outcome == "pass"
    assert decide(Policy.model_validate({"name": "p", "gates": [], "requires": [KEY]}), [metric()]).outcome == "pass"


def test_holm_takes_back_a_block_that_is_one_of_many() -> None:
    just = [share(40, 100, key="s/p/0")] + [share(20, 100, key=f"s/p/{at}") for at in range(1, 9)]
    gates = [{"metric": f"s/p/{at}", "max": 0.3} for at in range(9)]
    alone, of_many = decide(policy(*gates), just), decide(policy(*gates, correction="holm"), just)
    assert alone.gates[0].outcome == "block"
    result = of_many.gates[0]
    assert result.outcome == "inconclusive"
    assert result.p is not None
    assert result.p <= 0.025 < (result.p_corrected or 0)
    assert result.p_corrected == pytest.approx(9 * result.p)
    assert "but not after Holm's correction over 9 gates" in result.reason
    assert [r.outcome for r in of_many.gates[1:]] == [r.outcome for r in alone.gates[1:]]


def test_a_family_is_the_gates_of_one_severity() -> None:
    just = [share(40, 100, key="s/p/0")] + [share(20, 100, key=f"s/p/{at}") for at in range(1, 9)]
    gates = [{"metric": "s/p/0", "max": 0.3}] + [
        {"metric": f"s/p/{at}", "max": 0.3, "severity": "warn"} for at in range(1, 9)
    ]
    assert decide(policy(*gates, correction="holm"), just).gates[0].outcome == "block"


def test_no_limit_is_to_be_raised_where_all_cases_were_used() -> None:
    given = "give more data: every case was used"
    wide, few = [metric(0.2, 0.4, value=0.3)], policy({"max": 1, "min_examples": 500})
    result = decide(policy({"max": 0.35}), wide, used_up={"s/p"}).gates[0]
    assert result.fix == f"if the estimate stays, about 400 cases decide; {given}"
    open_end = decide(policy({"max": 0.35}), [metric(0.2, None)], used_up={"s/p"}).gates[0]
    assert open_end.fix == f"{given}, or measure a metric with an interval on both sides"
    assert decide(few, [metric()], used_up={"s/p"}).gates[0].fix == given
    assert decide(few, [metric()], used_up={"s/other"}).gates[0].fix.startswith("raise limits.cases by at least 400")
    with spoken("zh"):
        assert all("请提供更多数据" in retold(each.fix) for each in (result, open_end))


def test_the_way_out_says_how_many_cases_decide() -> None:
    result = decide(policy({"max": 0.35}), [metric(0.2, 0.4, value=0.3)]).gates[0]
    assert result.fix == "if the estimate stays, about 400 cases decide; raise limits.cases"  # (0.1 / 0.05)^2 * 100
    on_it = decide(policy({"max": 0.3}), [metric(0.2, 0.4, value=0.3)]).gates[0]
    assert on_it.fix == "the estimate lies on the bound: no number of cases decides"


def comparison(regression: float | None, half: float, **keys: Any) -> Comparison:
    ends: dict[str, float] = (
        {} if regression is None else {"low": regression - half, "high": regression + half, "p": 0.5}
    )
    return Comparison(metric=KEY, regression=regression, n=100, **ends, **keys)


@pytest.mark.parametrize(
    ("found", "outcome", "why"),
    [
        (
            comparison(0.0, 0.01),
            "pass",
            "(n=100 pairs) of the regression of s/p/m satisfies <= 0.02 worse",
        ),
        (comparison(0.05, 0.01), "block", "violates <= 0.02 worse than the baseline"),
        (comparison(0.02, 0.01), "inconclusive", "only partly satisfies"),
        (comparison(None, 0, note="no pairs"), "inconclusive", "cannot be compared with the baseline: no pairs"),
        (comparison(0.0, 0.01, unusable=50), "inconclusive", "33.33 % of the cases of the comparison of s/p/m"),
        (None, "inconclusive", "s/p/m has no baseline: the server is away"),
    ],
)
def test_a_regression_is_judged_like_a_metric(found: Comparison | None, outcome: str, why: str) -> None:
    comparisons = {} if found is None else {("gate 0", KEY, ""): found}
    compared = Compared(comparisons=comparisons, why_not="the server is away")
    verdict = decide(policy({"baseline": {"max_regression": 0.02}}), [metric()], compared=compared)
    assert verdict.outcome == outcome
    assert why in verdict.gates[0].reason
    assert verdict.gates[0].comparison == found


def test_verdicts_saved_before_still_load() -> None:
    old = {
        "outcome": "block",
        "reason": "1 of 1 gates blocked",
        "gates": [
            {
                "gate": {"id": "g", "metric": KEY, "max": 0.1, "slice": "x", "min_examples": 5, "max_missing": 0.2},
                "outcome": "block",
                "reason": "because",
                "value": 0.5,
                "low": 0.4,
                "high": 0.6,
                "n": 9,
            }
        ],
        "policy": "p",
        "policy_digest": "d",
    }
    verdict = Verdict.model_validate_json(json.dumps(old))
    result = verdict.gates[0]
    assert (result.effective, result.metric, result.slice) == ("block", KEY, "x")
    assert (verdict.warnings, verdict.baseline) == ((), None)
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_a_verdict_with_everything_survives_its_file() -> None:
    waiver = {"until": "2027-01-01", "by": "ann", "reason": "x"}
    gates: list[dict[str, Any]] = [
        {"max": 0.1, "waiver": waiver},
        {"max": 0.1, "severity": "warn"},
        {"baseline": {}},
        {"metric": "*", "min": 0},
    ]
    compared = Compared(comparisons={("gate 2", KEY, ""): comparison(0.0, 0.1)})
    verdict = decide(policy(*gates, correction="bh"), [metric()], compared=compared, today=DAY)
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


@pytest.mark.parametrize(
    ("gates", "why"),
    [
        (
            "{id: a, metric: m, min: 0.9}, {id: b, metric: m, max: 0.8}",
            "'a' (>= 0.9) and 'b' (<= 0.8) contradict",
        ),
        ("{id: a, metric: m, max: 1, severity: stop}", "severity"),
        ("{id: a, metric: m, max: 1, waiver: {until: soon, by: x, reason: y}}", "waiver.until"),
        ("{id: a, metric: m, max: 1, waiver: {until: 2027-01-01, reason: y}}", "missing key 'gates.0.waiver.by'"),
        ("{id: a, metric: m, baseline: {max_regresion: 1}}", "did you mean 'max_regression'"),
        ("{id: a, metric: m, baseline: {max_regression: -1}}", "greater than or equal to 0"),
        ("{id: a, metric: m, max: 1, baseline: {}}", "write one gate for each rule"),
        ("{id: a, metric: m, max: 1, evidence: {confidence: 95}}", "less than 1"),
        ("{id: a, metric: m, max: 1, evidence: {decide: both}}", "did you mean 'decides'"),
    ],
)
def test_a_bad_rule_is_one_sentence(tmp_path: Path, gates: str, why: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"name: x\ngates: [{gates}]\n")
    with pytest.raises(UsageError) as caught:
        load_policy(path)
    assert why in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "two",
    [
        {"id": "b", "metric": KEY, "max": 0.8, "severity": "warn"},
        {"id": "b", "metric": KEY, "max": 0.8, "slice": "x"},
        {"id": "b", "metric": KEY, "max": 0.9},
        {"id": "b", "metric": KEY, "baseline": {}},
    ],
)
def test_bounds_that_do_not_contradict_are_accepted(two: dict[str, Any]) -> None:
    assert Policy.model_validate({"name": "p", "gates": [{"id": "a", "metric": KEY, "min": 0.9}, two]}).gates


def test_a_rule_reads_as_text() -> None:
    rules: list[dict[str, Any]] = [{"baseline": {"max_regression": 0.02}}, {"measured": True}, {"within": [0.4, 0.6]}]
    shown = [Gate.model_validate({"id": "g", "metric": KEY, **rule}).rule for rule in rules]
    assert shown == ["<= 0.02 worse than the baseline", "must be measured", "in [0.4, 0.6]"]
