"""A privacy claim that nobody could recompute: never printed as a guarantee, never passed by a gate."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import ValidationError

from harness.api.metrics import Metric
from harness.audit.plan import AuditPlan
from harness.audit.run import conclude, regate, start_audit
from harness.audit.spec import AuditSpec
from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.gate.claim_metric import CLAIM_METRIC, claim_metrics, rests_on_claim
from harness.gate.decide import Policy, Verdict, decide
from harness.gate.policy import Gate
from harness.gate.power import plan_power
from harness.provenance.claim import ClaimRecord, TrainingRecord, training_line
from harness.provenance.claim_check import UNCHECKED, ClaimCheck, check_claim
from harness.provenance.manifest import MANIFEST_NAME
from harness.record.folder import AuditManifest
from harness.reports import report_input
from harness.reports.content.api import Level, ReportInput
from harness.reports.content.disclosure import disclose
from harness.tracking.log import metric_values
from tests.harness.baseline.two_audits import ACCURACY, answers, make_audit
from tests.harness.provenance.test_claim import claim, manifest
from tests.harness.reports.inputs import manifest as audit_manifest
from tests.harness.reports.inputs import metric
from tests.tiny import make_checkpoint

DOUBT = "the privacy ledger beside it ends early"
REFUSED = ClaimCheck.fails(DOUBT, 12.5)
FORGED = (0.001, -5.0, math.nan, -math.inf, 1e308)
WRITERS = ("as_json", "card", "comment", "html", "junit", "markdown", "sarif", "step_summary")

Plug = Callable[[str, Any], EntryPoint]


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Plug:
    """Makes an entry point of a checker made up on the spot."""

    def make(name: str, checker: Any) -> EntryPoint:
        module = ModuleType(f"claims_{name}")
        module.__dict__["check"] = checker
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return EntryPoint(name, f"{module.__name__}:check", "assay.claims")

    return make


def recorded(epsilon: float = 7.9251, check: ClaimCheck = REFUSED, **changes: Any) -> TrainingRecord:
    return TrainingRecord.of(manifest("w", claim(epsilon=epsilon, **changes)), check)


def says(answer: ClaimCheck) -> Callable[..., ClaimCheck]:
    return lambda folder, manifest, weights: answer


def fails(error: BaseException) -> Callable[..., ClaimCheck]:
    def checker(folder: Path, manifest: object, weights: str) -> ClaimCheck:
        raise error

    return checker


def asked(*points: EntryPoint) -> ClaimCheck:
    return check_claim(Path(), manifest("w", claim()), "w", points)


def test_without_a_package_that_can_nothing_is_verified() -> None:
    assert asked() == ClaimCheck.fails("no installed package can recompute it")


def test_the_first_checker_that_verifies_decides(plug: Plug) -> None:
    no, yes = plug("a", says(REFUSED)), plug("b", says(ClaimCheck.holds(3.0)))
    assert asked(yes, no) == asked(no, yes) == ClaimCheck.holds(3.0)
    assert asked(no) == REFUSED


@pytest.mark.parametrize(
    "error", [ValueError("x" * 10**6), SystemExit(0), RecursionError()], ids=["long", "exit", "deep"]
)
def test_a_checker_that_fails_verifies_nothing(plug: Plug, error: BaseException) -> None:
    found = asked(plug("broken", fails(error)))
    assert not found.verified
    assert type(error).__name__ in found.reason
    assert len(found.reason) <= 400
    assert asked(plug("broken", fails(error)), plug("whole", says(ClaimCheck.holds(1.0)))).verified


def test_a_checker_that_cannot_be_loaded_or_answers_otherwise_verifies_nothing(plug: Plug) -> None:
    assert "ModuleNotFoundError" in asked(EntryPoint("gone", "not_there_at_all:check", "assay.claims")).reason
    for answer in (True, None, {"verified": True}):
        assert "not a ClaimCheck" in asked(plug("odd", lambda *_, answer=answer: answer)).reason


@pytest.mark.parametrize(
    "fields",
    [
        {"verified": True, "reason": ""},
        {"verified": True, "reason": "", "epsilon": math.nan},
        {"verified": True, "reason": "", "epsilon": -1.0},
        {"verified": False, "reason": ""},
    ],
)
def test_an_answer_without_its_number_or_reason_is_none(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ClaimCheck(**fields)


@pytest.mark.parametrize("epsilon", FORGED)
def test_the_line_never_claims_what_is_not_verified(epsilon: float) -> None:
    said = training_line(recorded(epsilon))
    assert said == f"epsilon not verifiable: {DOUBT} (the manifest says {epsilon:.6g} at delta 1e-05)"


@pytest.mark.parametrize("epsilon", FORGED)
def test_a_number_that_is_none_is_in_doubt_whatever_a_checker_says(epsilon: float) -> None:
    record = recorded(epsilon, ClaimCheck.holds(1.0)).privacy
    assert record is not None
    assert bool(record.doubt) is not (epsilon >= 0)
    assert record.bound == (max(1.0, epsilon) if epsilon >= 0 else None)


def test_no_guarantee_is_none_whoever_says_so() -> None:
    for check in (REFUSED, UNCHECKED, ClaimCheck.holds(math.inf)):
        record = recorded(math.inf, check)
        assert record.privacy is not None
        assert (record.privacy.is_made, record.privacy.doubt, record.privacy.bound) == (False, "", None)
        assert "no privacy guarantee" in training_line(record)


def test_the_bound_is_never_below_what_was_recomputed() -> None:
    for claimed, found in ((7.9999, 8.0), (8.0, 7.0)):
        record = recorded(claimed, ClaimCheck.holds(found)).privacy
        assert record is not None
        assert record.bound == 8.0


def test_an_audit_from_before_claims_were_verified_loads_and_says_so() -> None:
    content = json.loads(audit_manifest([]).model_dump_json())
    for name in ("check", "units"):
        del content["checkpoint"]["training"]["privacy"][name]
    training = AuditManifest.model_validate(content).checkpoint.training
    assert training is not None
    assert training.privacy is not None
    assert training.privacy.check == UNCHECKED
    assert training_line(training).startswith(
        "epsilon not verifiable: this audit did not verify it (the manifest says "
    )


def report_of(training: TrainingRecord) -> ReportInput:
    made = audit_manifest(["toy/share"])
    made = made.model_copy(update={"checkpoint": made.checkpoint.model_copy(update={"training": training})})
    measured = [metric("toy/share/flips"), *claim_metrics(training)]
    rules = policy({"metric": CLAIM_METRIC, "max": 8})
    privacy = training.privacy
    verdict = decide(rules, measured, privacy_claim=True, claim_doubt=privacy.doubt if privacy else "")
    return report_input(made, measured, verdict)


def rendered(name: str, report: ReportInput) -> str:
    module = __import__(f"harness.reports.formats.{name}", fromlist=["render"])
    return str(module.render(report))


@pytest.mark.parametrize("level", [Level.SUMMARY, Level.FINDINGS, Level.FULL])
@pytest.mark.parametrize("name", WRITERS)
def test_no_format_prints_a_claim_without_its_doubt(name: str, level: Level) -> None:
    for epsilon in FORGED:
        text = rendered(name, disclose(report_of(recorded(epsilon)), level))
        assert "not verifiable" in text
        assert DOUBT in text
        assert "claims epsilon" not in text
        if name in ("as_json", "sarif"):
            json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_says_that_a_verified_claim_was_recomputed(name: str) -> None:
    text = rendered(name, report_of(recorded(check=ClaimCheck.holds(7.9251))))
    assert "recomputed from its ledger" in text
    assert "not verifiable" not in text


@pytest.mark.parametrize("epsilon", [*FORGED, math.inf])
def test_a_training_without_noise_and_a_forged_number_are_json(epsilon: float) -> None:
    content = json.loads(rendered("as_json", report_of(recorded(epsilon, UNCHECKED))))
    record = ClaimRecord.model_validate(content["manifest"]["checkpoint"]["training"]["privacy"])
    assert record.epsilon == epsilon or math.isnan(record.epsilon)


def policy(*gates: dict[str, Any], **keys: Any) -> Policy:
    filled = [{"id": f"gate {place}", **gate} for place, gate in enumerate(gates)]
    return Policy.model_validate({"name": "release", "gates": filled, **keys})


def decided(gate: dict[str, Any], training: TrainingRecord, *measured: Metric) -> Verdict:
    privacy = training.privacy
    assert privacy is not None
    return decide(
        policy(gate),
        [*measured, *claim_metrics(training)],
        privacy_claim=privacy.is_made,
        claim_doubt=privacy.doubt,
    )


AUDITED = metric("privacy/canaries/epsilon_lower")
RULES: tuple[dict[str, Any], ...] = (
    {"metric": CLAIM_METRIC, "max": 8},
    {"metric": CLAIM_METRIC, "min": 0},
    {"metric": CLAIM_METRIC, "within": [0, 8]},
    {"metric": CLAIM_METRIC, "measured": True},
    {"metric": CLAIM_METRIC, "baseline": {"max_regression": 1}},
    {"metric": "training/*", "max": 8},
    {"metric": "*", "max": 8},
    {"metric": "*/epsilon", "measured": True},
    {"metric": "privacy/*epsilon*", "measured": True},
    {"metric": "privacy/canaries/epsilon_lower", "max": 8},
    {"metric": "privacy/*epsilon*", "max": 8, "when": "privacy_claim"},
    {"metric": "toy/share/flips", "max": 1, "when": "privacy_claim"},
)


@pytest.mark.parametrize("on_missing", ["inconclusive", "block"])
@pytest.mark.parametrize("decides", ["both", "worst", "best", "point"])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_no_gate_that_rests_on_it_passes(rule: dict[str, Any], decides: str, on_missing: str) -> None:
    gate = {**rule, "on_missing": on_missing, "evidence": {"decides": decides}}
    for epsilon in FORGED:
        for check in (REFUSED, UNCHECKED):
            verdict = decided(gate, recorded(epsilon, check), AUDITED, metric("toy/share/flips"))
            assert verdict.outcome in ("inconclusive", "block")
            assert any("not verifiable" in result.reason for result in verdict.gates)
        if on_missing == "block":
            assert verdict.outcome == "block"


def test_gates_about_something_else_are_left_alone() -> None:
    assert decided({"metric": "toy/share/flips", "max": 1}, recorded(), metric("toy/share/flips")).outcome == "pass"
    assert [
        rests_on_claim(key) for key in ("training/claim/epsilon", "privacy/x/epsilon_lower", "privacy/*epsilon*")
    ] == [True] * 3
    assert [rests_on_claim(key) for key in ("training/claim", "memorization/membership/auc", "privacy/x/auc")] == [
        False
    ] * 3


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ({"max": 8}, "pass"),
        ({"max": 7.9251}, "pass"),
        ({"max": 7.925}, "block"),
        ({"max": 3}, "block"),
        ({"within": [0, 8]}, "pass"),
        ({"measured": True}, "pass"),
        ({"max": 8, "min_examples": 1000, "evidence": {"confidence": 0.999}}, "pass"),
    ],
)
def test_a_verified_claim_is_decided_by_its_bound(rule: dict[str, Any], outcome: str) -> None:
    verdict = decided({"metric": CLAIM_METRIC, **rule}, recorded(check=ClaimCheck.holds(7.9251)))
    assert verdict.outcome == outcome
    assert "%" not in verdict.gates[0].reason, "a proven bound has no confidence"


def test_a_looser_bound_recomputed_is_what_decides() -> None:
    record = recorded(7.995, ClaimCheck.holds(8.001))
    assert decided({"metric": CLAIM_METRIC, "max": 8}, record).outcome == "block"


def test_the_metric_of_a_claim_does_not_stand_for_its_audit() -> None:
    """A policy that asks for an audit of epsilon must not be satisfied by the claim itself."""
    verified = recorded(check=ClaimCheck.holds(7.9251))
    rules = policy(
        {"metric": CLAIM_METRIC, "max": 8}, requires=[{"metric": "privacy/*epsilon*", "when": "privacy_claim"}]
    )
    assert decide(rules, claim_metrics(verified), privacy_claim=True).outcome == "block"
    assert decide(rules, [*claim_metrics(verified), AUDITED], privacy_claim=True).outcome == "pass"


def test_a_metric_of_a_claim_is_there_only_with_a_claim() -> None:
    assert claim_metrics(None) == []
    assert claim_metrics(TrainingRecord(privacy=None)) == []
    (unbounded,) = claim_metrics(recorded(math.inf, ClaimCheck.holds(math.inf)))
    assert (unbounded.value, unbounded.note) == (None, "no privacy guarantee is claimed")
    (doubted,) = claim_metrics(recorded())
    assert (doubted.value, doubted.note) == (None, f"not verifiable: {DOUBT}")
    assert metric_values([doubted]) == {}
    (verified,) = claim_metrics(recorded(check=ClaimCheck.holds(7.9251)))
    assert (verified.value, verified.low, verified.high, verified.n) == (7.9251, 7.9251, 7.9251, 64)


@pytest.mark.parametrize("epsilon", FORGED)
def test_an_audit_decided_again_never_passes_a_forged_claim(tmp_path: Path, epsilon: float) -> None:
    """Through the record on disk: one that is no number was once taken for no claim at all, and passed."""
    folder = make_audit(tmp_path / "new", answers(60, 0.9, 0), training=recorded(epsilon, UNCHECKED))
    requires = [{"metric": ACCURACY, "when": "privacy_claim"}]
    rules = Policy.model_validate(
        {"name": "p", "gates": [{"id": "g", "metric": ACCURACY, "min": 0.1}], "requires": requires}
    )
    verdict = regate(folder, rules).verdict
    assert verdict.outcome == "block"
    assert "not verifiable: this audit did not verify it" in verdict.reason


def test_an_audit_asks_once_and_records_the_answer(tmp_path: Path, plug: Plug) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint", "bert", "masked_lm")
    weights = inspect_checkpoint(CheckpointSource(source=str(folder))).fingerprint.weights
    (folder / MANIFEST_NAME).write_text(manifest(weights, claim()).model_dump_json())
    rules = policy({"metric": CLAIM_METRIC, "max": 8})
    spec = AuditSpec.model_validate(
        {"checkpoint": str(folder), "output": str(tmp_path / "audits"), "policy": rules.model_dump(mode="json")}
    )
    plan = AuditPlan(spec, inspect_checkpoint(spec.checkpoint), (), {}, {})
    seen: list[tuple[Path, str]] = []

    def checker(where: Path, _: object, digest: str) -> ClaimCheck:
        seen.append((where, digest))
        return ClaimCheck.holds(7.9251)

    result = conclude(plan, start_audit(plan, claims=[plug("ledger", checker)]))
    assert seen == [(folder, weights)]
    assert result.verdict.outcome == "pass"
    assert result.manifest.checkpoint.training == recorded(check=ClaimCheck.holds(7.9251))
    assert regate(result.folder, rules).verdict.outcome == "pass"
    doubted = conclude(plan, start_audit(plan, claims=[plug("ledger", says(REFUSED))]))
    assert doubted.verdict.outcome == "inconclusive"
    assert DOUBT in doubted.verdict.reason


def test_a_plan_does_not_ask_for_cases_to_decide_a_claim() -> None:
    gate = Gate.model_validate({"id": "g", "metric": CLAIM_METRIC, "max": 8})
    (found,) = plan_power(Policy(name="p", gates=(gate,)), {}, {})
    assert found.can is None
    assert "privacy ledger" in found.what
