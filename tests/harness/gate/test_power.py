from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from harness.api.metrics import Better, Metric
from harness.gate.decide import Policy
from harness.gate.power import GatePower, Planned, cases_needed, plan_power
from harness.stats.intervals import clopper_pearson
from harness.stats.paired import POWER

METRICS = frozenset({"accuracy", "ece", "flip_rate"})


def power(gate: dict[str, Any], n: int = 500, earlier: tuple[Metric, ...] = ()) -> GatePower:
    policy = Policy.model_validate({"name": "p", "gates": [{"id": "g", "metric": "q/c/accuracy", **gate}]})
    planned = {"q/c": Planned(n, METRICS, frozenset({"accuracy"}))}
    return plan_power(policy, planned, {"b/c": "needs a causal LM"}, earlier)[0]


def chance(n: int, true: float, lowest: float, highest: float) -> float:
    """Brute force: the chance that the interval of n cases lies within the bounds."""
    hits = [k for k in range(n + 1) if lowest <= clopper_pearson(k, n).low and clopper_pearson(k, n).high <= highest]
    return float(sum(binom.pmf(k, n, true) for k in hits))


def number(text: str, word: str) -> float:
    """The share after `word` in a sentence."""
    return float(text.split(word)[1].split()[0].rstrip(",;)"))


@pytest.mark.parametrize("n", [40, 150, 500])
def test_the_share_that_passes_is_the_one_with_the_power(n: int) -> None:
    at = number(power({"min": 0.7}, n).what, "passes at >=")
    assert chance(n, at, 0.7, 1) == pytest.approx(POWER, abs=0.02)
    at = number(power({"max": 0.3}, n).what, "passes at <=")
    assert chance(n, at, 0, 0.3) == pytest.approx(POWER, abs=0.02)


@pytest.mark.parametrize("n", [40, 150, 500])
def test_the_share_that_blocks_is_the_one_with_the_power(n: int) -> None:
    at = number(power({"min": 0.7}, n).what, "blocks at <=")
    hits = [k for k in range(n + 1) if clopper_pearson(k, n).high < 0.7]
    assert sum(binom.pmf(k, n, at) for k in hits) == pytest.approx(POWER, abs=0.02)


@pytest.mark.parametrize("gate", [{"min": 0.7}, {"max": 0.3}, {"max": 0.02}, {"within": [0.4, 0.6]}])
def test_the_cases_needed_have_the_power_and_far_fewer_do_not(gate: dict[str, Any]) -> None:
    found = power(gate)
    assert found.needed is not None
    true = number(found.what, "(needs: at")
    lowest, highest = gate.get("within", (gate.get("min", 0), gate.get("max", 1)))
    assert chance(found.needed, true, lowest, highest) >= POWER - 0.02
    assert chance(found.needed * 3 // 4, true, lowest, highest) < POWER


def test_a_bound_that_no_result_can_hold_is_said_so() -> None:
    found = power({"max": 0.01}, 100)
    assert found.can is False
    assert clopper_pearson(0, 100).high > 0.01
    assert "cannot pass: even the best result leaves the interval too wide" in found.what


@pytest.mark.parametrize("gate", [{"max": 0}, {"min": 1}, {"within": [0, 0]}])
def test_no_number_of_cases_proves_a_share_of_exactly_none_or_all(gate: dict[str, Any]) -> None:
    for n in (500, 10**7):
        found = power(gate, n)
        assert (found.can, found.needed) == (False, None)
        assert "cannot pass: no sample proves a share of exactly 0 or 1" in found.what


def test_regions_of_a_million_cases_are_those_of_the_interval() -> None:
    """Exact at any n: the last count that passes and the first that blocks, by the interval itself."""
    n = 10**6
    most = max(k for k in range(99_300, 99_500) if clopper_pearson(k, n).high <= 0.1)
    at = binom.ppf(1 - POWER, n, 0.1) / n  # about how far below its mean a count falls
    assert number(power({"max": 0.1}, n).what, "passes at <=") == pytest.approx(most / n - (0.1 - at), abs=2e-4)


def test_fewer_cases_than_the_gate_asks_for() -> None:
    found = power({"min": 0.7, "min_examples": 600}, 500)
    assert (found.can, found.needed) == (False, 644)
    assert found.what.startswith("fewer cases than min_examples (600)")


@pytest.mark.parametrize(
    ("gate", "can", "what"),
    [
        ({"metric": "b/c/share", "max": 1}, False, "b/c does not apply: needs a causal LM"),
        ({"metric": "q/d/accuracy", "max": 1}, False, "q/d is not in the plan; did you mean 'q/c'?"),
        ({"metric": "q/c/acuracy", "max": 1}, None, "unknown: q/c may not measure 'acuracy'; did you mean 'accuracy'?"),
        ({"metric": "q/c/ece", "max": 0.1}, None, "unknown: no share of cases, and no earlier audit to go by (--like)"),
        (
            {"metric": "q/*/accuracy", "max": 0.1},
            None,
            "a pattern over 1 planned probes; each metric decides alone",
        ),
        ({"metric": "x/*", "max": 0.1}, False, "no planned probe fits the pattern"),
        ({"measured": True}, True, "any value will do"),
        ({"max": 0.1, "evidence": {"decides": "point"}}, True, "decides at any n, by point"),
        ({"metric": "q/c/ece", "baseline": {}}, None, "unknown: depends on how much the pairs differ"),
    ],
)
def test_what_cannot_be_known_is_said_so(gate: dict[str, Any], can: bool | None, what: str) -> None:
    found = power(gate)
    assert (found.can, found.what) == (can, what)


def test_an_earlier_audit_says_how_wide_the_interval_will_be() -> None:
    earlier = Metric(key="q/c/ece", value=0.06, low=0.04, high=0.08, n=100, better=Better.LOWER)
    found = power({"metric": "q/c/ece", "max": 0.1}, 500, (earlier,))
    spread = 0.02 * (1 + 0.8416 / 1.95996)
    assert found.needed == np.ceil(100 * (spread / 0.04) ** 2)
    assert (found.can, found.what) == (True, "passes at 0.0600, as before")
    blocked = power({"metric": "q/c/ece", "max": 0.05}, 50, (earlier,))
    assert (blocked.can, blocked.what) == (False, "blocks at 0.0600, as before")
    on_it = power({"metric": "q/c/ece", "max": 0.06}, 50, (earlier,))
    assert (on_it.can, on_it.needed) == (None, None)


def test_an_earlier_share_replaces_the_assumed_one() -> None:
    earlier = Metric(key="q/c/accuracy", value=0.9, low=0.85, high=0.93, n=300, better=Better.HIGHER)
    found = power({"min": 0.7}, 500, (earlier,))
    assert "(needs: at 0.900 as before)" in found.what
    assert found.needed is not None
    assert chance(found.needed, 0.9, 0.7, 1) >= POWER - 0.05


def test_a_baseline_needs_pairs_for_its_margin() -> None:
    found = power({"baseline": {"max_regression": 0.02}}, 3000)
    assert found.needed == np.ceil(0.1 * ((1.959964 + 0.841621) / 0.02) ** 2)
    assert found.can is True
    assert "blocks a regression of" in found.what
    assert "stays undecided at a margin of 0" in power({"baseline": {}}).what


def test_a_goal_out_of_reach_has_no_number() -> None:
    assert cases_needed(lambda n: 0.5) is None
    assert cases_needed(lambda n: float(n >= 1234)) == pytest.approx(1234, rel=0.02)
