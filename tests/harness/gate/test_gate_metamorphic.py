"""What must stay true of every verdict, whatever the policy and the data."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api.metrics import Better, Metric
from harness.gate.decide import Outcome, Policy, decide
from harness.gate.policy import Correction, Gate
from harness.gate.verdict import Compared, Comparison, Verdict
from harness.stats.intervals import clopper_pearson
from harness.stats.paired import flip_regression

RANK = {Outcome.BLOCK: 0, Outcome.INCONCLUSIVE: 1, Outcome.PASS: 2}
NAMES = "abc"
Counts = tuple[int, int]
Flips = tuple[int, int, int]

SHARES = st.tuples(st.integers(0, 80), st.integers(0, 80)).filter(lambda c: sum(c) > 0)
"""Hits and misses."""
FLIPS = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 80)).filter(lambda c: sum(c) > 0)
"""Pairs that got worse, better, and stayed."""


@st.composite
def gates(draw: st.DrawFn) -> dict[str, Any]:
    rule: dict[str, Any] = draw(
        st.one_of(
            st.floats(0, 1).map(lambda limit: {"max": limit}),
            st.floats(0, 0.3).map(lambda margin: {"baseline": {"max_regression": margin}}),
        )
    )
    confidence = draw(st.sampled_from([None, 0.8, 0.95, 0.99])) if "max" in rule else None
    gate: dict[str, Any] = {
        "metric": f"s/p/{draw(st.sampled_from([*NAMES, '*']))}",
        "evidence": {"decides": draw(st.sampled_from(["both", "worst", "best", "point"])), "confidence": confidence},
        "severity": draw(st.sampled_from(["block", "block", "warn", "info"])),
        "min_examples": draw(st.sampled_from([1, 30])),
        **rule,
    }
    if draw(st.booleans()):
        until = draw(st.sampled_from(["2026-01-01", "2027-01-01"]))
        gate["waiver"] = {"until": until, "by": "ann", "reason": "x"}
    return gate


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    found = [{"id": str(at), **gate} for at, gate in enumerate(draw(st.lists(gates(), min_size=1, max_size=5)))]
    correction = draw(st.sampled_from(["none", "holm", "bh"]))
    return Policy.model_validate({"name": "p", "gates": found, "correction": correction})


def verdict(policy: Policy, shares: dict[str, Counts], flips: dict[str, Flips], *, reverse: bool = False) -> Verdict:
    """The verdict on bad-outcome rates of `hits, misses`, lower being better, and on pairs beside a baseline."""
    metrics = []
    for name, (hits, misses) in shares.items():
        n, interval = hits + misses, clopper_pearson(hits, hits + misses)
        metrics.append(
            Metric(
                key=f"s/p/{name}",
                value=hits / n,
                low=interval.low,
                high=interval.high,
                n=n,
                better=Better.LOWER,
                interval=interval.method,
            )
        )
    comparisons = {
        (gate.id, metric.key, ""): comparison(metric.key, gate, flips[metric.key[-1]])
        for gate in policy.gates
        for metric in metrics
        if gate.baseline is not None and gate.covers(metric.key, "")
    }
    ordered = metrics[::-1] if reverse else metrics
    return decide(policy, ordered, compared=Compared(comparisons=comparisons), today=date(2026, 6, 1))


def comparison(key: str, gate: Gate, counts: Flips) -> Comparison:
    assert gate.baseline is not None
    worse, better, same = counts
    found = flip_regression(worse, better, worse + better + same, margin=gate.baseline.max_regression)
    low, high = found.interval.low, found.interval.high
    return Comparison(metric=key, regression=found.value, low=low, high=high, p=found.p, n=sum(counts))


def each(values: Any) -> Any:
    return st.fixed_dictionaries(dict.fromkeys(NAMES, values))


def assert_not_worse(after: Verdict, before: Verdict) -> None:
    assert RANK[after.outcome] >= RANK[before.outcome]
    for one, two in zip(before.gates, after.gates, strict=True):
        assert RANK[two.effective] >= RANK[one.effective], (one, two)


@settings(deadline=None)
@given(policies(), each(SHARES), each(FLIPS), st.sampled_from(NAMES), st.data())
def test_a_better_metric_never_worsens_a_verdict(
    policy: Policy, shares: dict[str, Counts], flips: dict[str, Flips], name: str, data: st.DataObject
) -> None:
    (hits, misses), (worse, better, same) = shares[name], flips[name]
    fewer, healed = data.draw(st.integers(0, hits)), data.draw(st.integers(0, worse))
    improved = {**shares, name: (hits - fewer, misses + fewer)}
    mended = {**flips, name: (worse - healed, better, same + healed)}
    assert_not_worse(verdict(policy, improved, mended), verdict(policy, shares, flips))


@settings(deadline=None)
@given(policies(), each(SHARES), each(FLIPS), st.floats(0, 0.5))
def test_loosening_a_bound_never_blocks(
    policy: Policy, shares: dict[str, Counts], flips: dict[str, Flips], by: float
) -> None:
    def loose(gate: Gate) -> Gate:
        if gate.baseline is not None:
            more = gate.baseline.max_regression + by
            return gate.model_copy(update={"baseline": gate.baseline.model_copy(update={"max_regression": more})})
        return gate.model_copy(update={"max": (gate.max or 0) + by})

    loosened = policy.model_copy(update={"gates": tuple(map(loose, policy.gates))})
    assert_not_worse(verdict(loosened, shares, flips), verdict(policy, shares, flips))


@settings(deadline=None)
@given(policies(), each(SHARES), each(FLIPS), st.integers(2, 6))
def test_more_identical_evidence_never_turns_a_pass_into_inconclusive(
    policy: Policy, shares: dict[str, Counts], flips: dict[str, Flips], times: int
) -> None:
    before = verdict(policy, shares, flips)
    more_shares = {name: (hits * times, misses * times) for name, (hits, misses) in shares.items()}
    more_flips = {name: (a * times, b * times, c * times) for name, (a, b, c) in flips.items()}
    after = verdict(policy, more_shares, more_flips)
    for one, two in zip(before.gates, after.gates, strict=True):
        assert one.outcome is not Outcome.PASS or two.outcome is not Outcome.INCONCLUSIVE
    assert before.outcome is not Outcome.PASS or after.outcome is not Outcome.INCONCLUSIVE


@settings(deadline=None)
@given(policies(), each(SHARES), each(FLIPS))
def test_the_order_of_metrics_changes_nothing(
    policy: Policy, shares: dict[str, Counts], flips: dict[str, Flips]
) -> None:
    assert verdict(policy, shares, flips, reverse=True) == verdict(policy, shares, flips)


@settings(deadline=None)
@given(policies(), each(SHARES), each(FLIPS))
def test_a_correction_only_takes_back_blocks(
    policy: Policy, shares: dict[str, Counts], flips: dict[str, Flips]
) -> None:
    plain = verdict(policy.model_copy(update={"correction": Correction.NONE}), shares, flips)
    for one, two in zip(plain.gates, verdict(policy, shares, flips).gates, strict=True):
        assert two.outcome is one.outcome or one.outcome is Outcome.BLOCK


@settings(deadline=None)
@given(policies(), each(SHARES), each(FLIPS))
def test_the_verdict_follows_from_what_counts(
    policy: Policy, shares: dict[str, Counts], flips: dict[str, Flips]
) -> None:
    found = verdict(policy, shares, flips)
    informs = all(result.severity == "info" for result in found.gates)
    worst = min((result.effective for result in found.gates), key=RANK.__getitem__)
    assert found.outcome is (Outcome.INCONCLUSIVE if informs and worst is Outcome.PASS else worst)
    for result in found.gates:
        if result.expired:
            assert result.effective is (Outcome.PASS if result.outcome is Outcome.PASS else Outcome.BLOCK)
        elif result.severity != "block":
            assert result.effective is Outcome.PASS
