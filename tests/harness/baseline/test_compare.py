from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.declared import ShareOf
from harness.api.metrics import Better, Metric
from harness.audit.run import regate
from harness.baseline.compare import Baseline, compare, compare_metrics, find_baseline
from harness.baseline.judge import first_verdict
from harness.baseline.pairs import LISTED, Pairs, Rule, compare_measured, compare_values, pair
from harness.errors import AuditError, UsageError
from harness.gate.decide import Outcome, Policy
from harness.gate.policy import BaselineRule, Gate
from harness.gate.verdict import Comparison
from harness.provenance.claim import ClaimRecord, TrainingRecord
from harness.record.folder import AuditFolder, Status
from harness.record.rows import row_parts
from harness.stats.paired import flip_regression
from suites.quality.classification import Classification
from tests.harness.baseline.two_audits import ACCURACY, NAME, answers, case_id, make_audit


def policy(margin: float = 0.0, metric: str = ACCURACY, **keys: Any) -> Policy:
    gate = {"id": "g", "metric": metric, "baseline": {"max_regression": margin}, **keys}
    return Policy.model_validate({"name": "p", "gates": [gate]})


def compared(candidate: AuditFolder, baseline: AuditFolder, rules: Policy | None = None, **options: Any) -> Comparison:
    rules = rules or policy()
    named = find_baseline(str(baseline.path), candidate.path.parent)
    return next(iter(compare(rules, candidate, named, **options).comparisons.values()))


def test_flips_are_counted_and_listed_both_ways(tmp_path: Path) -> None:
    ours, theirs = np.ones(200, dtype=bool), np.ones(200, dtype=bool)
    ours[:30], theirs[30:35] = False, False
    found = compared(make_audit(tmp_path / "new", ours), make_audit(tmp_path / "old", theirs))
    assert (found.candidate, found.baseline) == (0.85, 0.975)
    assert found.difference == pytest.approx(-0.125)
    assert found.regression == pytest.approx(0.125)
    assert found.flips is not None
    assert (found.flips.worse, found.flips.better) == (30, 5)
    assert found.flips.worse_ids == tuple(sorted(case_id(at) for at in range(30))[:LISTED])
    assert set(found.flips.better_ids) == {case_id(at) for at in range(30, 35)}
    expected = flip_regression(30, 5, 200)
    assert (found.low, found.high, found.p) == (expected.interval.low, expected.interval.high, expected.p)
    assert found.test == "exact on flips, McNemar at 0"
    assert (found.n, found.detectable) == (200, expected.detectable)


def test_unmatched_and_failed_cases_are_counted(tmp_path: Path) -> None:
    new = make_audit(tmp_path / "new", answers(100, 0.9, 0), start=20, errors=3)
    old = make_audit(tmp_path / "old", answers(100, 0.9, 1))
    found = compared(new, old)
    assert (found.n, found.unusable, found.only_candidate, found.only_baseline) == (77, 3, 20, 20)
    warnings = compare(policy(), new, find_baseline("old", tmp_path)).warnings
    assert warnings == (
        f"{NAME}: 20 cases of the candidate and 20 of the baseline have no counterpart and were left out",
    )


@pytest.mark.parametrize(
    ("drop", "margin", "outcome"), [(0.2, 0.0, "block"), (0.0, 0.05, "pass"), (0.02, 0.02, "inconclusive")]
)
def test_the_gate_decides_by_pairs(tmp_path: Path, drop: float, margin: float, outcome: str) -> None:
    theirs = answers(600, 0.9, 0)
    ours = theirs & (np.random.default_rng(1).random(600) >= drop)
    new, old = make_audit(tmp_path / "new", ours), make_audit(tmp_path / "old", theirs)
    verdict = regate(new, policy(margin), baseline=str(old.path)).verdict
    assert verdict.outcome == outcome
    assert verdict.baseline is not None
    assert (verdict.baseline.audit_id, verdict.baseline.ref) == ("old", str(old.path))
    assert "pairs) of the regression of quality/classification/accuracy" in verdict.gates[0].reason
    assert verdict.gates[0].comparison is not None


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    new, old = make_audit(tmp_path / "new", answers(90, 0.8, 0)), make_audit(tmp_path / "old", answers(90, 0.9, 1))
    ours, theirs = new.rows(NAME), old.rows(NAME)
    metrics = {metric.key: metric for metric in new.metrics()}
    rule = Rule(0.0, 0.95, "auto", 40)
    results = []
    for seed in (None, 1, 2):
        mixed = [rows if seed is None else rows.sample(frac=1, random_state=seed) for rows in (ours, theirs)]
        pairs = pair(*mixed)
        found = [by_values(pairs, metrics[f"{NAME}/{key}"], rule) for key in ("accuracy", "nll")]
        measured = compare_measured(Classification(), {("ece", ""): (metrics[f"{NAME}/ece"], rule)}, pairs)
        results.append([*found, *measured.values()])
    assert results[0] == results[1] == results[2]


def by_values(pairs: Pairs, metric: Metric, rule: Rule) -> Comparison:
    last = metric.key.rpartition("/")[2]
    ours = Classification().row_values(pairs.candidate, last, "")
    theirs = Classification().row_values(pairs.baseline, last, "")
    assert ours is not None
    assert theirs is not None
    return compare_values(metric, pairs, ours, theirs, rule)


def test_a_mean_is_judged_by_pairs(tmp_path: Path) -> None:
    new, old = make_audit(tmp_path / "new", answers(300, 0.7, 0)), make_audit(tmp_path / "old", answers(300, 0.9, 0))
    found = compared(new, old, policy(metric=f"{NAME}/nll"))
    rows = pair(new.rows(NAME), old.rows(NAME))
    difference = (rows.candidate["nll"] - rows.baseline["nll"]).to_numpy()
    assert found.regression == pytest.approx(difference.mean())
    assert found.low == pytest.approx(difference.mean() - 1.96 * difference.std() / 300**0.5, abs=0.05)
    assert found.flips is None
    assert found.test == "paired Dirichlet bootstrap, tail extrapolated, 10000 draws"


def test_a_metric_that_is_no_sum_is_compared_by_the_intervals_of_both(tmp_path: Path) -> None:
    new, old = make_audit(tmp_path / "new", answers(80, 0.5, 0)), make_audit(tmp_path / "old", answers(80, 0.95, 0))
    found = compared(new, old, policy(metric=f"{NAME}/macro_f1"))
    ours, theirs = ({m.key: m for m in side.metrics()}[f"{NAME}/macro_f1"] for side in (new, old))
    assert (found.candidate, found.baseline) == (ours.value, theirs.value)
    assert found.low is not None
    assert 0 < found.low < (found.regression or 0)
    reach = np.hypot((ours.high or 0) - (ours.value or 0), (theirs.value or 0) - (theirs.low or 0))
    assert (found.regression or 0) - found.low >= reach - 1e-12  # never surer than independent audits
    assert found.test == "both intervals, pairs not used (MOVER)"


def test_a_metric_that_is_no_sum_is_measured_on_so_many_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = make_audit(tmp_path / "new", answers(400, 0.8, 0)), make_audit(tmp_path / "old", answers(400, 0.9, 1))
    rules = policy(metric=f"{NAME}/macro_f1")
    whole = compared(new, old, rules)
    monkeypatch.setattr("harness.baseline.pairs._MEASURED_CASES", 100)
    part = compared(new, old, rules)
    assert (whole.n, part.n) == (400, 100)
    assert part.note == "measured on 100 of the common cases"
    assert part.low is not None
    assert whole.low is not None
    assert (part.high or 0) - part.low > 1.5 * ((whole.high or 0) - whole.low)


@pytest.mark.parametrize("key", ["accuracy", "nll", "macro_f1", "ece", "brier"])
@pytest.mark.parametrize("right", [1.0, 0.9])
def test_a_model_is_not_proven_equal_to_itself(tmp_path: Path, key: str, right: float) -> None:
    """Its paired differences are all 0, or its answers all the same: neither makes an interval without width."""
    made = make_audit(tmp_path / "one", answers(400, right, 0))
    found = compared(made, make_audit(tmp_path / "two", answers(400, right, 0)), policy(metric=f"{NAME}/{key}"))
    assert found.regression == pytest.approx(0, abs=1e-12)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert (found.detectable or 0) > 0
    verdict = regate(made, policy(0.0, metric=f"{NAME}/{key}"), baseline=str(tmp_path / "two")).verdict
    assert verdict.outcome == "inconclusive"


def test_many_units_are_drawn_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = make_audit(tmp_path / "new", answers(1000, 0.8, 0)), make_audit(tmp_path / "old", answers(1000, 0.8, 1))
    rules = policy(metric=f"{NAME}/nll", evidence={"draws": 1000})
    alone = compared(new, old, rules)
    monkeypatch.setattr("harness.api.means._UNITS", 300)
    grouped = compared(new, old, rules)
    assert grouped.regression == pytest.approx(alone.regression)
    assert grouped.n == alone.n == 1000
    width = (alone.high or 0) - (alone.low or 0)
    assert (grouped.high or 0) - (grouped.low or 0) == pytest.approx(width, rel=0.2)


def test_other_data_are_refused_unless_allowed(tmp_path: Path) -> None:
    new = make_audit(tmp_path / "new", answers(60, 0.9, 0))
    old = make_audit(tmp_path / "old", answers(60, 0.9, 0), digest="f" * 64)
    with pytest.raises(UsageError, match=r"its data for quality/classification:examples differ .*--allow-other-data"):
        regate(new, policy(), baseline=str(old.path))
    verdict = regate(new, policy(0.1), baseline=str(old.path), allow_other_data=True).verdict
    assert verdict.outcome == "pass"
    assert verdict.baseline is not None
    assert verdict.baseline.other_data == ("quality/classification:examples",)
    assert "differ, as allowed" in verdict.warnings[0]


@pytest.mark.parametrize(
    ("old", "why"),
    [
        ({"start": 1000}, "no case is in both audits"),
        ({"params": {"k": 2}}, "the setting k of quality/classification was 2 in the baseline, is None"),
        ({"incomplete": {NAME: "time was up"}}, "did not finish in the baseline: time was up"),
        ({"probes": ()}, "the baseline has no record of quality/classification"),
    ],
)
def test_what_cannot_be_compared_is_inconclusive(tmp_path: Path, old: dict[str, Any], why: str) -> None:
    new = make_audit(tmp_path / "new", answers(60, 0.9, 0))
    make_audit(tmp_path / "old", answers(60, 0.9, 0), **old)
    verdict = regate(new, policy(), baseline="old").verdict
    assert verdict.outcome == "inconclusive"
    assert why in verdict.gates[0].reason


def test_another_seed_is_another_draw_of_the_same(tmp_path: Path) -> None:
    new = make_audit(tmp_path / "new", answers(60, 0.9, 0))
    old = make_audit(tmp_path / "old", answers(60, 0.9, 0), params={"seed": 3})
    assert compared(new, old).n == 60


def test_a_direction_is_needed(tmp_path: Path) -> None:
    new = make_audit(tmp_path / "new", answers(60, 0.9, 0))
    metrics = [metric.model_copy(update={"better": Better.NEITHER}) for metric in new.metrics()]
    new.write_metrics(metrics)
    found = compared(new, make_audit(tmp_path / "old", answers(60, 0.9, 0)))
    assert found.note == "no direction of it is better; give the gate min, max or within"


@pytest.mark.parametrize(
    ("test", "metric", "note"), [("mcnemar", "nll", "McNemar's test needs"), ("bootstrap", "accuracy", "")]
)
def test_the_test_can_be_chosen(tmp_path: Path, test: str, metric: str, note: str) -> None:
    new, old = make_audit(tmp_path / "new", answers(60, 0.9, 0)), make_audit(tmp_path / "old", answers(60, 0.9, 1))
    found = compared(new, old, policy(metric=f"{NAME}/{metric}", evidence={"test": test, "draws": 500}))
    assert note in found.note
    assert note or found.test == "paired Gaffke bound, 500 draws"


def test_a_missing_baseline_is_one_sentence(tmp_path: Path) -> None:
    new = make_audit(tmp_path / "new", answers(60, 0.9, 0))
    with pytest.raises(UsageError, match="baseline 'nowhere': no such folder, and no audit of"):
        regate(new, policy(), baseline="nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="not an audit"):
        regate(new, policy(), baseline="empty")
    make_audit(tmp_path / "half", answers(60, 0.9, 0), status=Status.INTERRUPTED)
    with pytest.raises(UsageError, match="baseline half: the audit is interrupted, not finished"):
        regate(new, policy(), baseline="half")
    verdict = regate(new, policy()).verdict
    assert verdict.outcome == "inconclusive"
    assert verdict.gates[0].reason == f"{ACCURACY} has no baseline: none was given"
    assert "--baseline" in verdict.gates[0].fix


def test_the_policy_may_name_the_baseline(tmp_path: Path) -> None:
    new = make_audit(tmp_path / "new", answers(200, 0.9, 0))
    make_audit(tmp_path / "old", answers(200, 0.9, 0))
    rules = Policy.model_validate({**policy(0.1).model_dump(), "baseline": "old"})
    assert regate(new, rules).verdict.outcome == "pass"


def test_unreadable_rows_are_one_sentence(tmp_path: Path) -> None:
    new, old = make_audit(tmp_path / "new", answers(60, 0.9, 0)), make_audit(tmp_path / "old", answers(60, 0.9, 0))
    row_parts(old.path, NAME)[0].write_bytes(b"PAR1 no parquet")
    with pytest.raises(AuditError, match=r"part-000000.parquet: damaged rows"):
        regate(new, policy(), baseline=str(old.path))


def test_a_model_beside_itself_is_said_so(tmp_path: Path) -> None:
    new = make_audit(tmp_path / "new", answers(400, 0.9, 0))
    verdict = regate(new, policy(0.02), baseline="new").verdict
    assert (verdict.outcome, verdict.warnings) == ("pass", ("the baseline is the candidate itself",))


def test_a_measure_that_fails_on_a_draw_leaves_it_undefined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = make_audit(tmp_path / "new", answers(60, 0.5, 0)), make_audit(tmp_path / "old", answers(60, 0.5, 1))

    def broken(*_: object) -> list[Metric]:
        raise ZeroDivisionError

    monkeypatch.setattr(Classification, "measure", broken)
    found = compared(new, old, policy(metric=f"{NAME}/ece", evidence={"draws": 200}))
    assert (found.regression, found.note) == (None, "it has no value over the common cases")


def test_many_rows_are_paired_by_id_in_any_order() -> None:
    rng, n = np.random.default_rng(0), 60_000
    ids = np.array([f"{number:012x}" for number in rng.permutation(n)])
    right = rng.random((2, n)) < [[0.85], [0.90]]
    frames = [
        pd.DataFrame(
            {"case_id": ids, "status": "ok", "label": 1, "predicted": side.astype(int), "nll": 0.0, "truncated": 0}
        )
        for side in right
    ]
    pairs = pair(frames[0].iloc[:-7], frames[1].sample(frac=1, random_state=1).iloc[5:])
    assert pairs.candidate["case_id"].is_monotonic_increasing
    assert (pairs.candidate["case_id"] == pairs.baseline["case_id"]).all()
    assert pairs.only_candidate <= 5
    assert pairs.only_baseline <= 7
    assert len(pairs) == n - 7 - pairs.only_candidate
    metric = Metric(key=ACCURACY, value=0.85, n=n, better=Better.HIGHER)
    found = by_values(pairs, metric, Rule(0.0, 0.95, "auto", 200))
    common = set(pairs.candidate["case_id"])
    kept = np.array([number in common for number in ids])
    assert found.flips is not None
    assert found.flips.worse == int((right[1] & ~right[0] & kept).sum())
    assert found.flips.better == int((right[0] & ~right[1] & kept).sum())
    drawn = by_values(pairs, metric, Rule(0.0, 0.95, "bootstrap", 300))
    assert drawn.low == pytest.approx(found.low, abs=0.001)
    assert drawn.high == pytest.approx(found.high, abs=0.001)


@pytest.mark.parametrize(("epsilon", "outcome"), [(8.0, "block"), (float("inf"), "pass"), (None, "pass")])
def test_a_checkpoint_that_claims_privacy_needs_its_audit(tmp_path: Path, epsilon: float | None, outcome: str) -> None:
    claim = None
    if epsilon is not None:
        claim = ClaimRecord(epsilon=epsilon, delta=1e-5, accountant="prv", unit="each record")
    folder = make_audit(tmp_path / "new", answers(60, 0.9, 0), training=TrainingRecord(privacy=claim))
    requires = [{"metric": "privacy/*epsilon*", "when": "privacy_claim"}]
    gates = [{"id": "g", "metric": ACCURACY, "min": 0.1}]
    rules = Policy.model_validate({"name": "p", "gates": gates, "requires": requires})
    assert regate(folder, rules).verdict.outcome == outcome


def test_the_first_verdict_compares_too(tmp_path: Path) -> None:
    theirs = answers(300, 0.9, 0)
    make_audit(tmp_path / "old", theirs)
    new = make_audit(tmp_path / "new", theirs & answers(300, 0.7, 1))
    for ref, outcome in (("old", "block"), ("nowhere", "inconclusive")):
        rules = policy().model_copy(update={"baseline": ref})
        assert first_verdict(new, new.manifest(), new.metrics(), rules).outcome == outcome
    assert first_verdict(new, new.manifest(), new.metrics(), None).outcome == "inconclusive"


def test_what_is_counted_per_token_is_not_compared_across_tokenizers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    per_token = tuple(
        replace(each, per_token=True) if isinstance(each, ShareOf) else each for each in Classification.metrics
    )
    monkeypatch.setattr(Classification, "metrics", per_token)
    base = make_audit(tmp_path / "base", answers(200, 0.9, 1))
    candidate = make_audit(tmp_path / "new", answers(200, 0.9, 2))
    rules = Policy.model_validate(
        {"name": "p", "gates": [{"id": "g", "metric": ACCURACY, "baseline": {"max_regression": 0.2}}]}
    )
    assert regate(candidate, rules, baseline=str(base.path)).verdict.outcome is Outcome.PASS
    manifest = candidate.manifest()
    other = manifest.checkpoint.model_copy(update={"tokenizer": "e" * 64})
    candidate.write_manifest(manifest.model_copy(update={"checkpoint": other}))
    found = regate(candidate, rules, baseline=str(base.path)).verdict
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "counted per token, and the baseline has another tokenizer" in found.reason


def test_a_case_excluded_on_one_side_is_no_pair_and_is_said(tmp_path: Path) -> None:
    """Neither unusable nor flipped, whatever it was on the other side."""
    right = np.ones(60, dtype=bool)
    new, old = make_audit(tmp_path / "new", right, excluded=2), make_audit(tmp_path / "old", ~right)
    found = compared(new, old)
    assert (found.n, found.excluded, found.unusable) == (58, 2, 0)
    assert found.flips is not None
    assert found.flips.better == 58
    measured = compared(new, old, policy(metric=f"{NAME}/ece"))
    assert (measured.excluded, measured.unusable) == (2, 0)
    outcome = compare(policy(), new, find_baseline(str(old.path), tmp_path))
    assert f"{NAME}: it does not apply to 2 of the cases that both have, which were left out" in outcome.warnings


def test_metrics_compared_without_a_policy_are_those_that_gates_compare(tmp_path: Path) -> None:
    ours = make_audit(tmp_path / "a", answers(400, 0.8, 0))
    theirs = make_audit(tmp_path / "b", answers(400, 0.7, 1))
    metrics = [each for each in ours.metrics() if each.headline and not each.slice]
    gates = tuple(Gate(id=each.key, metric=each.key, baseline=BaselineRule()) for each in metrics)
    by_gate = compare(Policy(name="p", gates=gates), ours, Baseline(theirs, "b")).comparisons
    found = compare_metrics(metrics[::-1], ours, Baseline(theirs, "b"))
    assert [each.metric for each in found] == [each.key for each in metrics[::-1]]
    assert found == [by_gate[each.key, each.key, ""] for each in metrics[::-1]]
    assert any(each.flips is not None for each in found)
    assert compare_metrics([], ours, Baseline(theirs, "b")) == []


def test_metrics_of_other_data_are_no_pairs(tmp_path: Path) -> None:
    ours = make_audit(tmp_path / "a", answers(40, 0.8, 0))
    theirs = make_audit(tmp_path / "b", answers(40, 0.8, 1), digest="e" * 64)
    with pytest.raises(UsageError, match="its data for quality/classification:examples differ"):
        compare_metrics(ours.metrics(), ours, Baseline(theirs, "b"))
    found = compare_metrics(ours.metrics(), ours, Baseline(theirs, "b"), all_probes=False)
    assert len(found) == len(ours.metrics())
    assert {each.regression for each in found} == {None}
    assert {each.note for each in found} == {
        "its data for quality/classification:examples differ (another digest), so its rows are no pairs of these"
    }
