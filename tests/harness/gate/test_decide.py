from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.api.metrics import Alarm, Better, Metric, missing_metric
from harness.errors import Exit, UsageError
from harness.gate.decide import NO_POLICY, Gate, Outcome, Policy, Verdict, decide, load_policy

KEY = "bias/crows_pairs/stereotype_score"
RANK = {Outcome.BLOCK: 0, Outcome.INCONCLUSIVE: 1, Outcome.PASS: 2}


def metric(low: float | None = 0.2, high: float | None = 0.3, **keys: Any) -> Metric:
    value = min(max(0.25, low if low is not None else 0.25), high if high is not None else 0.25)
    return Metric(**{"key": KEY, "value": value, "low": low, "high": high, "n": 100, "better": Better.LOWER, **keys})


def policy(*gates: dict[str, Any]) -> Policy:
    filled = [{"id": f"gate {index}", "metric": KEY, **gate} for index, gate in enumerate(gates)]
    return Policy.model_validate({"name": "release", "gates": filled})


@pytest.mark.parametrize(
    ("rule", "low", "high", "outcome"),
    [
        ({"max": 0.35}, 0.2, 0.3, "pass"),
        ({"max": 0.3}, 0.2, 0.3, "pass"),
        ({"max": 0.25}, 0.2, 0.3, "inconclusive"),
        ({"max": 0.2}, 0.2, 0.3, "inconclusive"),
        ({"max": 0.19}, 0.2, 0.3, "block"),
        ({"min": 0.2}, 0.2, 0.3, "pass"),
        ({"min": 0.25}, 0.2, 0.3, "inconclusive"),
        ({"min": 0.3}, 0.2, 0.3, "inconclusive"),
        ({"min": 0.31}, 0.2, 0.3, "block"),
        ({"within": [0.2, 0.3]}, 0.2, 0.3, "pass"),
        ({"within": [0.25, 0.9]}, 0.2, 0.3, "inconclusive"),
        ({"within": [0.24, 0.26]}, 0.2, 0.3, "inconclusive"),
        ({"within": [0.31, 0.9]}, 0.2, 0.3, "block"),
        ({"within": [0.0, 0.19]}, 0.2, 0.3, "block"),
        ({"max": 0.0}, 0.0, 0.0, "inconclusive"),  # no sample shows that exactly
        ({"max": 0.35}, None, 0.3, "pass"),
        ({"max": 0.25}, None, 0.3, "inconclusive"),
        ({"max": 0.1}, 0.2, None, "block"),
        ({"max": 0.9}, 0.2, None, "inconclusive"),
        ({"min": 0.1}, 0.2, None, "pass"),
        ({"within": [0.0, 1.0]}, 0.2, None, "inconclusive"),
    ],
)
def test_the_interval_decides(rule: dict[str, Any], low: float | None, high: float | None, outcome: str) -> None:
    verdict = decide(policy(rule), [metric(low, high)])
    assert verdict.outcome == outcome
    result = verdict.gates[0]
    assert (result.outcome, result.low, result.high, result.n) == (outcome, low, high, 100)
    assert result.gate.rule in result.reason


@pytest.mark.parametrize(
    ("rule", "metrics", "why"),
    [
        ({"max": 1}, [], f"{KEY} was not measured"),
        ({"max": 1, "metric": KEY + "s"}, [metric()], f"{KEY}s was not measured; did you mean {KEY!r}?"),
        (
            {"max": 1, "metric": "memorization/membership/auc"},
            [metric(key="memorization/exposure/found_share")],
            "memorization/membership/auc was not measured",
        ),
        (
            {"max": 1, "metric": "adversarial/textfooler/attack_success_rate"},
            [metric(key="adversarial/textfooler_adjusted/attack_success_rate")],
            "adversarial/textfooler/attack_success_rate was not measured",
        ),
        (
            {"max": 1, "metric": "memorization/membrship/auc"},
            [metric(key="memorization/membership/auc")],
            "memorization/membrship/auc was not measured; did you mean 'memorization/membership/auc'?",
        ),
        ({"max": 1}, [missing_metric(KEY, "no pair", better=Better.LOWER)], f"{KEY} is missing: no pair"),
        ({"max": 1}, [metric(None, None)], f"{KEY} has no confidence interval"),
        ({"max": 1}, [metric(n=29)], f"{KEY} rests on 29 observations, the gate asks for 30"),
        ({"max": 1}, [metric(missing=20)], f"16.67 % of the cases of {KEY} gave no usable row, the gate allows 10 %"),
        (
            {"max": 1, "max_missing": 0},
            [metric(missing=1)],
            f"0.9901 % of the cases of {KEY} gave no usable row, the gate allows 0 %",
        ),
        ({"max": 1, "min_examples": 101}, [metric()], f"{KEY} rests on 100 observations, the gate asks for 101"),
        (
            {"max": 1, "slice": "age"},
            [metric(slice="race"), metric()],
            f"{KEY} [age] was not measured; the metric was for 'race', all rows",
        ),
        ({"max": 1}, [metric(), metric()], f"{KEY} was measured 2 times, which one is meant is unknown"),
    ],
)
def test_lacking_evidence_is_inconclusive(rule: dict[str, Any], metrics: list[Metric], why: str) -> None:
    verdict = decide(policy(rule), metrics)
    assert verdict.outcome == "inconclusive"
    assert verdict.gates[0].reason == why
    assert verdict.reason == f"1 of 1 gates not decided; gate 0: {why}"


def test_exactly_enough_examples_are_enough() -> None:
    assert decide(policy({"max": 1}), [metric(n=30)]).outcome == "pass"


def test_a_probe_that_did_not_finish_decides_nothing() -> None:
    for measured in ([metric()], []):
        verdict = decide(policy({"max": 0.1}), measured, incomplete={"bias/crows_pairs": "the time limit"})
        assert verdict.outcome == "inconclusive"
        assert verdict.gates[0].reason == "bias/crows_pairs did not finish: the time limit"
        assert verdict.gates[0].value == (0.25 if measured else None)
    assert decide(policy({"max": 0.1}), [metric()], incomplete={"bias/crows": "x"}).outcome == "block"


def test_slices_are_told_apart() -> None:
    metrics = [metric(), metric(0.8, 0.9, slice="age")]
    rules = policy({"max": 0.5}, {"max": 0.5, "slice": "age"})
    assert [result.outcome for result in decide(rules, metrics).gates] == ["pass", "block"]


@pytest.mark.parametrize("none", [None, Policy(name="empty", gates=())])
def test_without_gates_nothing_is_decided(none: Policy | None) -> None:
    verdict = decide(none, [metric()])
    assert (verdict.outcome, verdict.reason, verdict.gates) == ("inconclusive", NO_POLICY, ())
    assert verdict.policy == (none.name if none else "")


@pytest.mark.parametrize(
    ("gates", "outcome", "code", "reason"),
    [
        ([{"max": 1}, {"max": 0.9}], "pass", Exit.PASS, "2 of 2 gates passed with their whole confidence interval"),
        ([{"max": 1}, {"max": 0.25}], "inconclusive", Exit.INCONCLUSIVE, "1 of 2 gates not decided; gate 1: "),
        ([{"max": 0.25}, {"max": 0.1}], "block", Exit.BLOCK, "1 of 2 gates blocked; gate 1: "),
        ([{"max": 0.1}, {"max": 0.0}], "block", Exit.BLOCK, "2 of 2 gates blocked; first gate 0: "),
    ],
)
def test_the_worst_gate_makes_the_verdict(gates: list[dict[str, Any]], outcome: str, code: Exit, reason: str) -> None:
    verdict = decide(policy(*gates), [metric()])
    assert (verdict.outcome, verdict.exit_code) == (outcome, code)
    assert verdict.reason.startswith(reason)


def test_a_reason_shows_enough_digits_to_be_true() -> None:
    reason = decide(policy({"max": 0.35}), [metric(0.3, 0.350001)]).gates[0].reason
    assert reason == f"the 95 % interval [0.300000, 0.350001] (n=100) of {KEY} only partly satisfies <= 0.35"


def test_a_verdict_survives_its_file() -> None:
    verdict = decide(policy({"max": 0.35}, {"within": [0, 1], "slice": "age"}), [metric()])
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    assert len(verdict.policy_digest) == 64


def test_the_digest_tells_policies_apart() -> None:
    assert policy({"max": 0.35}).digest() == policy({"max": 0.35, "min_examples": 30}).digest()
    assert policy({"max": 0.35}).digest() != policy({"max": 0.36}).digest()


def test_a_policy_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"name: release\ngates:\n- {{id: a, metric: {KEY}, within: [0.4, 0.6], reason: promised}}\n")
    assert load_policy(path).gates == (Gate(id="a", metric=KEY, within=(0.4, 0.6), reason="promised"),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nam: x\ngates: []\n", "unknown key 'nam'; did you mean 'name'"),
        ("name: x\ngates: [{id: a, metric: m, mx: 1, max: 1}]\n", "unknown key 'gates.0.mx'; did you mean 'max'"),
        ("name: x\n", "missing key 'gates'"),
        ("name: x\ngates: [{id: a, metric: m}]\n", "exactly one of min, max, within, baseline and measured"),
        (
            "name: x\ngates: [{id: a, metric: m, min: 0, max: 1}]\n",
            "exactly one of min, max, within, baseline and measured",
        ),
        ("name: x\ngates: [{id: a, metric: m, within: [1, 0]}]\n", "within is reversed"),
        ("name: x\ngates: [{id: a, metric: m, max: .nan}]\n", "finite"),
        ("name: x\ngates: [{id: a, metric: m, max: 1}, {id: a, metric: m, min: 1}]\n", "'a' is there twice"),
        ("name: x\ngates: [{id: a, metric: m, max: 1, min_examples: 0}]\n", "greater than or equal to 1"),
    ],
)
def test_a_bad_policy_is_one_sentence(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)
    assert why in str(caught.value)


def test_the_schema_names_every_key() -> None:
    schema = Policy.model_json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["$defs"]["Gate"]["properties"]) == set(Gate.model_fields)
    assert all("description" in entry for entry in schema["$defs"]["Gate"]["properties"].values())


def test_results_are_frozen() -> None:
    verdict = decide(None, [])
    with pytest.raises(ValidationError):
        verdict.outcome = Outcome.PASS  # type: ignore[misc]


NUMBERS = st.floats(-2, 2)
SIZES = st.integers(1, 100)


@st.composite
def metrics_with(draw: st.DrawFn) -> list[Metric]:
    found = []
    for name in draw(st.lists(st.sampled_from("abcd"), unique=True, min_size=1)):
        if draw(st.booleans()):
            ends = sorted((draw(NUMBERS), draw(NUMBERS)))
            assume(ends[1] - ends[0] > 1e-9)  # without width an interval decides nothing, as after rounding
            found.append(metric(*ends, key=f"s/p/{name}", n=draw(SIZES)))
        else:
            found.append(missing_metric(f"s/p/{name}", "why", better=Better.NEITHER))
    return found


@st.composite
def gates(draw: st.DrawFn) -> Gate:
    kind, name = draw(st.sampled_from(["min", "max", "within"])), draw(st.sampled_from("abcde"))
    limit: Any = sorted((draw(NUMBERS), draw(NUMBERS))) if kind == "within" else draw(NUMBERS)
    return Gate.model_validate({"id": "g", "metric": f"s/p/{name}", kind: limit, "min_examples": draw(SIZES)})


def contradict(one: Gate, two: Gate) -> bool:
    same = (one.metric, one.slice) == (two.metric, two.slice)
    return same and max(one.allowed[0], two.allowed[0]) > min(one.allowed[1], two.allowed[1])


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    kept: list[Gate] = []
    for gate in draw(st.lists(gates(), max_size=5)):
        if not any(contradict(gate, other) for other in kept):
            kept.append(gate.model_copy(update={"id": str(len(kept))}))
    correction = draw(st.sampled_from(["none", "holm", "bh"]))
    return Policy.model_validate({"name": "p", "gates": kept, "correction": correction})


POLICIES = policies()


def shifted(found: Metric, by: float) -> Metric:
    if found.low is None or found.high is None:
        return found
    return found.model_copy(update={"low": found.low + by, "value": (found.value or 0.0) + by, "high": found.high + by})


@given(gates().filter(lambda gate: gate.within is None), metrics_with(), st.floats(0, 3))
def test_a_better_metric_never_worsens_the_verdict(gate: Gate, metrics: list[Metric], by: float) -> None:
    rules = Policy(name="p", gates=(gate,))
    better = [shifted(found, by if gate.min is not None else -by) for found in metrics]
    assert RANK[decide(rules, better).outcome] >= RANK[decide(rules, metrics).outcome]


@given(gates(), metrics_with(), st.floats(0, 1))
def test_narrowing_an_interval_never_overturns_a_decision(gate: Gate, metrics: list[Metric], by: float) -> None:
    rules = Policy(name="p", gates=(gate,))
    narrow = [
        found.model_copy(update={"low": min(found.low + by * (found.high - found.low) / 2, found.value or 0.0)})
        if found.low is not None and found.high is not None
        else found
        for found in metrics
    ]
    before = decide(rules, metrics).outcome
    assert before is Outcome.INCONCLUSIVE or decide(rules, narrow).outcome is before


@given(POLICIES, metrics_with(), st.floats(0, 3))
def test_loosening_never_worsens_the_verdict(rules: Policy, metrics: list[Metric], by: float) -> None:
    def loose(gate: Gate) -> Gate:
        ends = {"min": gate.min, "max": gate.max}
        changed: dict[str, Any] = {k: v + (by if k == "max" else -by) for k, v in ends.items() if v is not None}
        if gate.within is not None:
            changed = {"within": (gate.within[0] - by, gate.within[1] + by)}
        return gate.model_copy(update=changed)

    loosened = rules.model_copy(update={"gates": tuple(loose(gate) for gate in rules.gates)})
    strict, relaxed = decide(rules, metrics), decide(loosened, metrics)
    assert RANK[relaxed.outcome] >= RANK[strict.outcome]
    for before, after in zip(strict.gates, relaxed.gates, strict=True):
        assert RANK[after.outcome] >= RANK[before.outcome]


@given(POLICIES, metrics_with(), st.randoms())
def test_order_and_other_metrics_change_nothing(rules: Policy, metrics: list[Metric], random: Any) -> None:
    verdict = decide(rules, metrics)
    mixed = [*metrics, metric(9, 9, key="s/p/unrelated")]
    random.shuffle(mixed)
    assert [result.outcome for result in decide(rules, mixed).gates] == [result.outcome for result in verdict.gates]
    shuffled = list(metrics)
    random.shuffle(shuffled)
    assert decide(rules, shuffled) == verdict


@given(POLICIES, metrics_with())
def test_the_verdict_follows_from_its_gates(rules: Policy, metrics: list[Metric]) -> None:
    verdict = decide(rules, metrics)
    expected = min((result.outcome for result in verdict.gates), key=RANK.__getitem__, default=Outcome.INCONCLUSIVE)
    assert verdict.outcome is expected
    assert verdict.exit_code == {"pass": 0, "block": 1, "inconclusive": 3}[verdict.outcome]
    for result in verdict.gates:
        assert result.outcome is Outcome.INCONCLUSIVE or result.n >= result.gate.min_examples


@pytest.mark.parametrize("value", [0.19, 0.31])
def test_a_value_outside_its_own_interval_decides_nothing(value: float) -> None:
    found = decide(policy({"max": 0.9}), [metric(value=value)])
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "outside its own interval" in found.reason


def alarmed_metric() -> Metric:
    return metric(2.1, 3.0, value=2.5, key="a/b/epsilon", alarm=Alarm(bound=2.0, reason="more leaks than is claimed"))


@pytest.mark.parametrize(
    "rules",
    [
        None,
        policy({"max": 0.9}),
        policy({"max": 9.0, "metric": "a/b/epsilon"}),
        policy(
            {
                "max": 0.1,
                "metric": "a/b/epsilon",
                "severity": "info",
                "waiver": {"until": "2099-01-01", "by": "x", "reason": "y"},
            }
        ),
    ],
)
def test_an_alarm_blocks_whatever_the_policy_says(rules: Policy | None) -> None:
    verdict = decide(rules, [metric(), alarmed_metric()], today=date(2026, 1, 1))
    assert verdict.outcome is Outcome.BLOCK
    assert verdict.exit_code == Exit.BLOCK
    assert verdict.gates[0].gate.id == "alarm: a/b/epsilon"
    assert "2.500 > 2: more leaks than is claimed" in verdict.reason
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_an_alarm_is_beyond_its_bound() -> None:
    with pytest.raises(ValidationError, match="an alarm needs a value beyond"):
        metric(value=0.25, alarm=Alarm(bound=0.25, reason="equal is allowed"))
