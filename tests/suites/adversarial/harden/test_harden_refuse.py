"""What stops a hardening, and what is said aloud of one that had little to work with."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import AuditError, UsageError
from suites.adversarial.harden import run_hardening
from tests.suites.adversarial.harden.toy import N, make_spec, make_train

PROBE = "adversarial/deepwordbug"


def test_a_model_that_withstands_gets_no_texts_and_that_is_said(tmp_path: Path) -> None:
    """One query looks at the text and leaves none to attack it with."""
    spec = make_spec(tmp_path, query_budget=1, control=False, train=make_train(tmp_path, epochs=1), epochs=1)
    result = run_hardening(spec)
    (one,) = result.report.hardening.rounds
    assert (one.succeeded, one.added, one.errors) == (0, 0, 0)
    assert "round 1: no attack succeeded, so no adversarial text was added" in result.report.notes
    assert [one.against for one in result.report.comparisons] == ["before"]
    assert not (result.folder / "control").exists()


def test_where_every_attack_breaks_nothing_is_hardened(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, seconds=1e-9, train=make_train(tmp_path, epochs=1))
    with pytest.raises(AuditError, match=r"every attack on a training text broke.*limit of 1e-09 seconds"):
        run_hardening(spec)
    assert not (tmp_path / "out" / "after").exists()


def test_a_missing_resource_is_found_out_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from suites.adversarial.recipes import recipe

    monkeypatch.setattr(recipe, "missing", lambda: "needs TextAttack, which is not installed")
    with pytest.raises(UsageError, match="recipe deepwordbug: needs TextAttack"):
        run_hardening(make_spec(tmp_path))
    assert not (tmp_path / "out").exists()


def test_a_launcher_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="without a launcher"):
        run_hardening(make_spec(tmp_path))


def test_audited_texts_that_were_trained_on_are_told(tmp_path: Path) -> None:
    train_values = make_train(tmp_path, epochs=1)
    audit = {"probes": [{"name": "quality/classification", "data": {"examples": train_values["data"]}}]}
    spec = make_spec(tmp_path, audit=audit, train=train_values, epochs=1, control=False, query_budget=1)
    notes = run_hardening(spec).report.notes
    assert f"{N} of the audited texts were trained on, so the numbers are too good; audit texts that were not" in notes
