from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.api.metrics import Better, Metric
from harness.errors import UsageError
from harness.gate.decide import Outcome, Policy, Verdict, decide, load_policy
from harness.gate.ratchet import ratchet_diff, tighten_text, tighter_bounds

TEXT = """\
# What a release must hold.
name: release   # shown in reports
gates:
  - id: accurate
    metric: s/p/accuracy
    min: 0.70   # promised to users
  - {id: "calibrated", metric: s/p/ece, max: 2e-1, severity: warn}  # in flow style
  - id: fair
    metric: s/p/share
    within: [0.35, 0.65]
  - id: kept
    metric: s/p/ece
    ratchet: false
    max: 0.5
"""


def metric(name: str, value: float, low: float, high: float) -> Metric:
    return Metric(key=f"s/p/{name}", value=value, low=low, high=high, n=100, better=Better.LOWER)


METRICS = [
    metric("accuracy", 0.8, 0.751239, 0.85),
    metric("ece", 0.05, 0.02, 0.0912345),
    metric("share", 0.5, 0.41, 0.57),
]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "policies" / "policy.yaml"
    file.parent.mkdir()
    file.write_text(TEXT)
    return file


def verdict(path: Path, metrics: list[Metric] = METRICS) -> Verdict:
    return decide(load_policy(path), metrics)


def test_the_diff_tightens_to_the_bound_that_was_achieved_and_keeps_comments(path: Path) -> None:
    diff = ratchet_diff(path, verdict(path))
    changed = [line for line in diff.splitlines() if line[0] in "+-"]
    assert changed == [
        "--- a/policies/policy.yaml",
        "+++ b/policies/policy.yaml",
        "-    min: 0.70   # promised to users",
        '-  - {id: "calibrated", metric: s/p/ece, max: 2e-1, severity: warn}  # in flow style',
        "+    min: 0.751   # promised to users",
        '+  - {id: "calibrated", metric: s/p/ece, max: 0.0913, severity: warn}  # in flow style',
        "-    within: [0.35, 0.65]",
        "+    within: [0.41, 0.57]",
    ]
    assert path.read_text() == TEXT


@pytest.mark.parametrize("end", ["", "\n"])
def test_git_applies_the_diff_and_the_same_audit_passes_again(path: Path, end: str) -> None:
    path.write_text(TEXT.rstrip() + end)
    (path.parent.parent / "p.diff").write_text(ratchet_diff(path, verdict(path)))
    subprocess.run(["git", "apply", "p.diff"], check=True, cwd=path.parent.parent)
    assert path.read_text() != TEXT
    again = verdict(path)
    assert again.outcome is Outcome.PASS
    assert ratchet_diff(path, again) == ""


@pytest.mark.parametrize(
    "metrics",
    [
        [METRICS[0], metric("ece", 0.7, 0.6, 0.8), METRICS[2]],  # blocks by the gate that stays
        [METRICS[0], METRICS[1], metric("share", 0.5, 0.1, 0.9)],  # undecided
    ],
)
def test_only_a_pass_tightens(path: Path, metrics: list[Metric]) -> None:
    assert verdict(path, metrics).outcome is not Outcome.PASS
    assert ratchet_diff(path, verdict(path, metrics)) == ""


@pytest.mark.parametrize(
    "gate",
    [
        {"metric": "s/p/*", "max": 0.9},
        {"metric": "s/p/ece", "max": 0.9, "ratchet": False},
        {"metric": "s/p/ece", "measured": True},
        {"metric": "s/p/ece", "max": 0.01, "severity": "warn"},
    ],
)
def test_some_gates_never_tighten(gate: dict[str, Any]) -> None:
    gates = [{"id": "g", **gate}, {"id": "measured", "metric": "s/p/ece", "measured": True}]
    found = decide(Policy.model_validate({"name": "p", "gates": gates}), METRICS)
    assert found.outcome is Outcome.PASS
    assert tighter_bounds(found) == {}


def test_what_cannot_be_edited_in_place_is_refused(path: Path) -> None:
    anchored = "name: p\ngates:\n- {id: a, metric: s/p/ece, max: &b 0.5}\n- {id: b, metric: s/p/share, max: *b}\n"
    path.write_text(anchored)
    with pytest.raises(UsageError, match=r"gate 'b'.*(shared by a YAML anchor)"):
        ratchet_diff(path, decide(load_policy(path), [METRICS[1], metric("share", 0.3, 0.2, 0.4)]))
    other = verdict(path, METRICS)
    path.write_text(TEXT)
    with pytest.raises(UsageError, match="is not the policy that was decided by"):
        ratchet_diff(path, other)
    with pytest.raises(UsageError, match="no plain key 'max'"):
        tighten_text("name: p\ngates:\n- {id: a, metric: m, min: 1}\n", {"a": {("max", 0): 1.0}})


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-1e6, 1e6),
    st.floats(0, 1e3),
    st.floats(0, 1e3),
    st.sampled_from(["min", "max", "within"]),
    st.floats(0, 1e6),
)
def test_bounds_never_loosen_and_the_audit_still_passes(
    value: float, below: float, above: float, kind: str, slack: float
) -> None:
    found = metric("ece", value, value - below, value + above)
    assert found.low is not None
    assert found.high is not None
    assume(found.low < found.high)
    rule: Any = {"min": found.low - slack, "max": found.high + slack, "within": [found.low - slack, found.high + slack]}
    policy = Policy.model_validate({"name": "p", "gates": [{"id": "g", "metric": "s/p/ece", kind: rule[kind]}]})
    first = decide(policy, [found])
    assert first.outcome is Outcome.PASS
    old = policy.gates[0].allowed
    new = list(old)
    for (key, at), bound in tighter_bounds(first).get("g", {}).items():
        new[{"min": 0, "max": 1}.get(key, at)] = bound
    assert old[0] <= new[0] <= found.low
    assert found.high <= new[1] <= old[1]
