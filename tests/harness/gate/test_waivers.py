"""Waivers in a file of their own: its owner grants them, and none holds longer than the file allows."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from harness.api.metrics import Better, Metric
from harness.errors import UsageError
from harness.gate.decide import Outcome, decide, load_policy

POLICY = """
name: p
waivers: granted/waivers.yaml
gates:
  - {id: steady, metric: s/p/m, max: 0.1}
  - {id: right, metric: s/p/m, max: 0.9}
"""
WAIVERS = """
owner: model risk
max_days: 90
waivers:
  - {gate: steady, granted: 2026-10-01, until: 2026-12-15, by: ana, reason: "hardening is under way"}
"""
METRIC = Metric(key="s/p/m", value=0.4, low=0.3, high=0.5, n=200, better=Better.LOWER, interval="Clopper-Pearson")


def written(folder: Path, waivers: str, policy: str = POLICY) -> Path:
    (folder / "granted").mkdir()
    (folder / "granted" / "waivers.yaml").write_text(waivers)
    (folder / "policy.yaml").write_text(policy)
    return folder / "policy.yaml"


def test_a_waiver_of_the_file_holds_for_its_gate_until_its_day(tmp_path: Path) -> None:
    policy = load_policy(written(tmp_path, WAIVERS))
    held = decide(policy, [METRIC], today=date(2026, 12, 15))
    assert (held.outcome, held.gates[0].waived, held.gates[1].waived) == (Outcome.PASS, True, False)
    assert "waived by ana until 2026-12-15, granted by model risk: hardening is under way" in held.gates[0].reason
    assert decide(policy, [METRIC], today=date(2026, 12, 16)).outcome is Outcome.BLOCK


@pytest.mark.parametrize(
    ("waivers", "why"),
    [
        (WAIVERS.replace("2026-12-15", "2027-01-15"), "holds for 106 days .* where 0 to 90 are allowed"),
        (WAIVERS.replace("2026-12-15", "2026-09-15"), "holds for -16 days"),
        (WAIVERS.replace("2026-10-01", "2099-10-01").replace("2026-12-15", "2099-12-15"), "a day to come"),
        (WAIVERS.replace("until: 2026-12-15", "until: 1798675200"), "1798675200 is no day"),
        (WAIVERS.replace("by: ana", "by: ' '"), "by"),
        (WAIVERS.replace("gate: steady", "gate: stedy"), "the policy does not have; did you mean 'steady'"),
        (WAIVERS.replace("owner: model risk\n", ""), "owner"),
        (WAIVERS.replace("max_days: 90\n", ""), "max_days"),
        (WAIVERS.replace("max_days: 90", "max_days: 4000"), "max_days"),
        (WAIVERS.replace(", by: ana", ""), "by"),
        (WAIVERS.replace(", granted: 2026-10-01", ""), "granted"),
        (WAIVERS + WAIVERS.splitlines()[-1] + "\n", "two waivers for gate 'steady'"),
    ],
)
def test_a_waiver_that_nobody_may_grant_is_refused(tmp_path: Path, waivers: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        load_policy(written(tmp_path, waivers))


def test_one_gate_has_one_waiver(tmp_path: Path) -> None:
    own = "max: 0.1, waiver: {until: 2026-12-31, by: bob, reason: mine}"
    with pytest.raises(UsageError, match="has a waiver in the policy; with a file of waivers"):
        load_policy(written(tmp_path, WAIVERS, POLICY.replace("max: 0.1", own)))


@pytest.mark.parametrize(
    ("line", "why"),
    [("waivers: nowhere.yaml", r"nowhere.yaml: no such file"), ("waivers: [steady]", "must be the path of a file")],
)
def test_a_file_that_is_not_there_waives_nothing(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        load_policy(written(tmp_path, WAIVERS, POLICY.replace("waivers: granted/waivers.yaml", line)))
