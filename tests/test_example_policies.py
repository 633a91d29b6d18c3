"""The starter policies are about metrics that there are, and decide."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.api.metrics import Better, Metric
from harness.api.registry import find_probes
from harness.gate.decide import Outcome, decide, load_policy
from harness.gate.policy import Policy, When, matches
from harness.gate.verdict import Compared, Comparison

FILES = sorted((Path(__file__).parent.parent / "examples" / "policies").glob("*.yaml"))


@pytest.fixture(scope="module")
def keys() -> set[str]:
    """Every metric that some probe names when it has no rows."""
    return {
        f"{name}/{metric.key}"
        for name, probe in find_probes().probes.items()
        for metric in probe().measure(pd.DataFrame(columns=list(probe.Row.to_schema().columns)))
    }


def test_there_is_one_for_each_kind_of_release() -> None:
    assert [path.stem for path in FILES] == ["causal_lm", "classifier", "dp_release", "masked_lm"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_gate_is_about_a_metric_that_there_is(path: Path, keys: set[str]) -> None:
    for gate in load_policy(path).all_gates:
        known = any(matches(gate.metric, key) for key in keys)
        assert known or gate.when is When.PRIVACY_CLAIM, gate.metric  # the audit of epsilon is a plug-in's


def good(policy: Policy, keys: set[str]) -> list[Metric]:
    """A metric for each gate, well inside its bounds."""
    found: dict[str, Metric] = {}
    for gate in policy.all_gates:
        key = gate.metric if not gate.is_pattern else next((k for k in sorted(keys) if matches(gate.metric, k)), "")
        low, high = gate.allowed
        value = {"max": high / 2, "min": (1 + low) / 2}.get("max" if gate.max is not None else "min", 0.5)
        value = sum(gate.within) / 2 if gate.within else value
        if key and (key not in found or gate.min is not None or gate.max is not None):
            better = Better.HIGHER
            value = value if abs(value) != float("inf") else 0.5
            found[key] = Metric(key=key, value=value, low=value - 1e-6, high=value + 1e-6, n=1000, better=better)
    return list(found.values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_good_model_passes_and_nothing_is_never_a_pass(path: Path, keys: set[str]) -> None:
    policy = load_policy(path)
    metrics = good(policy, keys)
    equal = Comparison(metric="m", regression=0.0, low=-0.01, high=0.01, p=1.0, n=1000)
    comparisons = {(gate.id, gate.metric, ""): equal for gate in policy.gates if gate.baseline is not None}
    verdict = decide(policy, metrics, compared=Compared(comparisons=comparisons))
    assert verdict.outcome is Outcome.PASS, verdict.reason
    assert decide(policy, []).outcome is Outcome.BLOCK  # what is required is not there


def test_a_claim_without_an_audit_of_epsilon_blocks(keys: set[str]) -> None:
    policy = load_policy(next(path for path in FILES if path.stem == "dp_release"))
    unaudited = [metric for metric in good(policy, keys) if "epsilon_audit" not in metric.key]
    verdict = decide(policy, unaudited, privacy_claim=True)
    assert verdict.outcome is Outcome.BLOCK
    assert "requires memorization/epsilon_audit/epsilon_lower" in verdict.reason
