from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.audit.plan import AuditPlan
from harness.audit.run import start_audit
from harness.audit.spec import AuditSpec
from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.provenance.claim import TrainingRecord, claim_sentence, training_line
from harness.provenance.claim_check import ClaimCheck
from harness.provenance.manifest import MANIFEST_NAME, PrivacyClaim, TrainingManifest, Unprivatised
from harness.record.folder import AuditManifest
from tests.audit_folder import make_audit
from tests.tiny import make_checkpoint

CLAIM = PrivacyClaim(
    epsilon=7.9251,
    epsilon_lower=7.8,
    delta=1e-5,
    accountant="prv",
    second_opinion=7.9252,
    second_accountant="pld",
    rdp=8.5,
    target_epsilon=8,
    unit="each record",
    units=64,
    group=1,
    neighbours="one record more or less",
    records=64,
    sampling="Poisson",
    sample_rate=0.25,
    compositions=8,
    expected_batch_size=16,
    noise_multiplier=0.75,
    clipping="flat",
    max_grad_norm=1.0,
    steps=8,
    steps_lost=0,
    engine="book-keeping",
    processes=1,
    ledger="0" * 64,
    unprivatised=Unprivatised(losses=(0.7, None), clipped=0.5, norm_quantiles={"0.5": 1.25}, non_finite=0, drawn=130),
)


def claim(**changes: Any) -> PrivacyClaim:
    return CLAIM.model_copy(update=changes)


def manifest(weights: str, privacy: PrivacyClaim | None) -> TrainingManifest:
    return TrainingManifest.model_validate(
        {
            "task": "classification",
            "base": None,
            "base_fingerprint": None,
            "weights": weights,
            "members": {"source": "data.csv"},
            "members_digest": "d" * 64,
            "members_n": 64,
            "seed": 0,
            "config": {},
            "steps": 8,
            "versions": {},
            "privacy": privacy,
        }
    )


def line(privacy: PrivacyClaim | None, check: ClaimCheck | None = None) -> str:
    found = check or ClaimCheck.holds(0.0 if privacy is None or math.isnan(privacy.epsilon) else abs(privacy.epsilon))
    return training_line(TrainingRecord.of(manifest("w", privacy), found))


@pytest.mark.parametrize(
    ("privacy", "expected"),
    [
        (None, "without differential privacy"),
        (
            claim(),
            "claims epsilon <= 7.926 (PRV; PLD 7.926) at delta 1e-05, for each record; recomputed from its ledger",
        ),
        (
            claim(outside=("the vocabulary", "the labels"), note="PLD failed"),
            "claims epsilon <= 7.926 (PRV; PLD 7.926) at delta 1e-05, for each record; "
            "recomputed from its ledger; not covered: the vocabulary; the labels; note: PLD failed",
        ),
        (
            claim(epsilon=math.inf, noise_multiplier=0.0),
            "with clipped gradients but no noise: no privacy guarantee",
        ),
    ],
)
def test_the_claim_is_one_line(privacy: PrivacyClaim | None, expected: str) -> None:
    assert line(privacy) == expected


def printed(epsilon: float) -> str:
    return line(claim(epsilon=epsilon)).removeprefix("claims epsilon <= ").split(" ")[0]


@given(st.floats(1e-9, 1e7))
def test_printing_never_promises_more(epsilon: float) -> None:
    assert epsilon * (1 - 1e-11) <= float(printed(epsilon)) <= epsilon * (1 + 1e-11) + 0.001


def test_what_is_round_stays() -> None:
    assert [printed(epsilon) for epsilon in (0.0, 0.1, 4.016, 7.98, 8.0, 1e-5)] == [
        "0.000",
        "0.100",
        "4.016",
        "7.980",
        "8.000",
        "0.001",
    ]


def test_what_is_not_known_is_said() -> None:
    assert training_line(None) == "unknown: no training manifest belongs to these weights"
    assert training_line(None, has_manifest=True) == "unknown: this audit did not record it"


def test_the_record_holds_nothing_that_noise_does_not_protect() -> None:
    content = json.loads(TrainingRecord.of(manifest("w", claim())).model_dump_json())
    opinions = {"accountant", "second_accountant", "second_opinion"}
    assert set(content["privacy"]) == {"epsilon", "delta", "unit", "units", "outside", "note", "check"} | opinions
    assert set(content["privacy"]["check"]) == {"verified", "reason", "epsilon"}


def test_no_guarantee_survives_json() -> None:
    record = TrainingRecord.of(manifest("w", claim(epsilon=math.inf)))
    assert TrainingRecord.model_validate_json(record.model_dump_json()) == record


def test_the_sentence_says_what_the_claim_rests_on() -> None:
    sentence = claim_sentence(claim(steps_lost=1, outside=("the vocabulary",), note="PLD failed"))
    assert sentence.splitlines() == [
        "epsilon <= 7.926 (PRV; PLD 7.926, RDP 8.500) at delta 1e-05, for each record; "
        "neighbours: one record more or less",
        "Poisson sampling at rate 0.25, 8 noisy releases, noise multiplier 0.75, flat clipping to 1",
        "1 of 8 steps was lost in crashes; its budget counts as spent",
        "not covered: the vocabulary",
        "note: PLD failed",
    ]


def test_without_noise_the_sentence_names_nobody_that_is_protected() -> None:
    first, second = claim_sentence(claim(epsilon=math.inf, noise_multiplier=0.0, outside=(), note=None)).split("\n")[:2]
    assert first == "no privacy guarantee: the noise is zero"
    assert "noisy" not in second


def test_the_second_opinion_on_users_goes_by_its_own_name() -> None:
    """PLD beside PLD would read as the same number twice."""
    users = claim(accountant="pld", second_accountant="pld", second_opinion=9.8, unit="all records of one author")
    assert "epsilon <= 7.926 (PLD; group bound 9.800, RDP 8.500) at" in claim_sentence(users)


def test_an_audit_records_what_the_manifest_claims(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint", "bert", "masked_lm")
    weights = inspect_checkpoint(CheckpointSource(source=str(folder))).fingerprint.weights
    spec = AuditSpec.model_validate({"checkpoint": str(folder), "output": str(tmp_path / "audits")})
    found = []
    for digest, privacy in (("other", claim()), (weights, None), (weights, claim())):
        (folder / MANIFEST_NAME).write_text(manifest(digest, privacy).model_dump_json())
        record = (
            start_audit(AuditPlan(spec, inspect_checkpoint(spec.checkpoint), (), {}, {}), claims=())
            .manifest()
            .checkpoint
        )
        found.append(training_line(record.training))
    assert found == [
        "unknown: no training manifest belongs to these weights",
        "without differential privacy",
        "epsilon not verifiable: no installed package can recompute it (the manifest says 7.9251 at delta 1e-05)",
    ]


def test_an_audit_from_before_claims_were_recorded_still_loads(tmp_path: Path) -> None:
    content = json.loads(make_audit(tmp_path).manifest().model_dump_json())
    del content["checkpoint"]["training"]
    assert AuditManifest.model_validate(content).checkpoint.training is None
