"""`max_regression: 2%` is a share of the baseline's value, which is itself known by an interval only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.baseline.judge import compared_with, judge
from harness.gate.decide import Outcome, Policy
from harness.gate.policy import BaselineRule
from harness.stats.intervals import clopper_pearson
from tests.harness.baseline.two_audits import ACCURACY, make_audit


def rules(margin: str | float) -> Policy:
    gate = {"id": "g", "metric": ACCURACY, "baseline": {"max_regression": margin}}
    return Policy.model_validate({"name": "p", "gates": [gate]})


@pytest.mark.parametrize(("given", "share"), [("2%", 0.02), (" 0.5 % ", 0.005), ("0%", 0.0), ("150%", 1.5)])
def test_a_percentage_is_a_share(given: str, share: float) -> None:
    rule = BaselineRule.model_validate({"max_regression": given})
    assert rule.relative
    assert rule.max_regression == pytest.approx(share)
    assert BaselineRule.model_validate(rule.model_dump(mode="json")) == rule


@pytest.mark.parametrize("given", ["2", "two%", "-1%", "%", "nan%", "inf%", ""])
def test_what_is_no_percentage_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="neither a number nor a percentage such as 2%"):
        BaselineRule.model_validate({"max_regression": given})


@pytest.mark.parametrize(
    ("right", "margin", "outcome"),
    [(950, "15%", Outcome.PASS), (950, "1%", Outcome.INCONCLUSIVE), (700, "15%", Outcome.BLOCK)],
)
def test_it_passes_at_the_least_it_may_come_to_and_blocks_beyond_the_most(
    tmp_path: Path, right: int, margin: str, outcome: Outcome
) -> None:
    """By hand: 960 of 1,000 right; the value's interval at the half error gives the least and most of the margin."""
    make_audit(tmp_path / "base", np.arange(1000) < 960)
    candidate = make_audit(tmp_path / "new", np.arange(1000) < right)
    policy = rules(margin)
    found = judge(policy, candidate.manifest(), candidate.metrics(), compared_with("base", policy, candidate, None))
    assert found.outcome is outcome, found.reason
    comparison = found.gates[0].comparison
    assert comparison is not None
    assert comparison.margin is not None
    share = policy.gates[0].baseline.max_regression if policy.gates[0].baseline else 0.0
    value = clopper_pearson(960, 1000, 0.975)
    assert comparison.margin == pytest.approx((share * value.low, share * value.high), rel=1e-6)
    assert comparison.level == pytest.approx(0.975)
    assert "of the baseline's value" in found.gates[0].reason


def test_without_the_baselines_own_value_a_share_of_it_is_not_known(tmp_path: Path) -> None:
    base = make_audit(tmp_path / "base", np.arange(1000) < 960)
    (base.path / "metrics.json").unlink()
    candidate = make_audit(tmp_path / "new", np.arange(1000) < 960)
    policy = rules("2%")
    found = judge(policy, candidate.manifest(), candidate.metrics(), compared_with("base", policy, candidate, None))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "a share of it is not known" in found.reason


@pytest.mark.slow
def test_the_error_of_both_intervals_together_is_no_more_than_one_may_err() -> None:
    """Simulated at the hardest truth, a regression of exactly the margin: false passes stay below 2.5 %."""
    from harness.stats.paired import flip_regression

    rng, n, base, share, wrong, rounds = np.random.default_rng(0), 300, 0.9, 0.1, 0, 2_000
    for _ in range(rounds):
        before = rng.random(n) < base
        after = before & (rng.random(n) >= share)  # loses a tenth of what was right: a regression of the margin
        worse = int((before & ~after).sum())
        value = clopper_pearson(int(before.sum()), n, 0.975)
        regression = flip_regression(worse, 0, n, margin=share, level=0.975).interval
        wrong += regression.high is not None and regression.high <= share * value.low
    assert wrong / rounds <= 0.025
