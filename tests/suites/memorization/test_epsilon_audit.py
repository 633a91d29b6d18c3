"""Epsilon audited by the canaries of one training: what is proven, what is not, and the alarm."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.metrics import Metric
from harness.api.probe import Plan
from harness.checkpoint import CheckpointInfo, CheckpointSource, Permissions, inspect_checkpoint
from harness.errors import NoDataError, NotApplicableError, UsageError, WrongDataError
from harness.provenance.manifest import PrivacyClaim
from privacy.audit.guesses import Guesses
from privacy.audit.one_run import lower_bound
from privacy.canaries.store import COINS, path_of
from suites.memorization.epsilon_audit import EpsilonAudit, EpsilonAuditParams, _own_curves
from tests.privacy.claim_cases import make_run
from tests.privacy.toys import make_base
from tests.suites.memorization.planted import RANDOM, SECRETS, measured, planted

SUM: dict[str, Any] = {
    "epsilon": 3.0,
    "delta": 1e-5,
    "sampling": "shuffled, no amplification",
    "sample_rate": 1.0,
    "compositions": 1,
    "noise_multiplier": 1.5,
    "group": 1,
    "max_batch": None,
    "earlier": (),
}
"""One noisy sum of everybody."""


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> CheckpointInfo:
    """Trained without privacy: it knows every canary."""
    return planted(tmp_path_factory.mktemp("gpt"), "gpt2", "causal_lm", SECRETS, RANDOM, task="causal_lm")


def rows_of(planted_: list[bool], scores: list[float], claimed: float = float("nan")) -> pd.DataFrame:
    n = len(scores)
    return pd.DataFrame(
        {
            "case_id": [f"{number:04d}" for number in range(n)],
            "status": "ok",
            "error": None,
            "kind": "random-tokens",
            "label": "",
            "calibrated": False,
            "score": scores,
            "planted": planted_,
            "delta": 1e-5,
            "curves": [[] for _ in range(n)],
            "claimed": claimed,
        }
    )


def measure(rows: pd.DataFrame, **params: Any) -> dict[str, Metric]:
    return {metric.key: metric for metric in EpsilonAudit(EpsilonAuditParams(**params)).measure(rows)}


def test_a_model_that_knows_its_canaries_proves_a_large_epsilon(gpt: CheckpointInfo) -> None:
    rows, metrics = measured(EpsilonAudit(), gpt)
    assert len(rows) == 80  # those of one copy
    assert metrics["guesses_right"].value is not None
    assert metrics["guesses_right"].value > 0.8
    assert metrics["epsilon_lower"].value is not None
    assert metrics["epsilon_lower"].value > 0.8
    assert metrics["epsilon_lower"].alarm is None  # nothing was claimed


@pytest.mark.parametrize("kind", ["bert"])
def test_classifiers_by_the_class_a_canary_was_planted_with(kind: str, tmp_path: Path) -> None:
    info = planted(tmp_path, kind, "classifier", {**RANDOM, "count": 100}, epochs=40, weight_decay=0.0)
    _, metrics = measured(EpsilonAudit(), info)
    assert metrics["guesses_right"].low is not None
    assert metrics["guesses_right"].low > 0.5


def test_the_bound_is_that_of_its_counts() -> None:
    planted_ = [True] * 100 + [False] * 100
    scores = [1.0] * 90 + [-1.0] * 10 + [-1.0] * 90 + [1.0] * 10
    found = measure(rows_of(planted_, scores), guessed=(1.0,))
    assert found["epsilon_lower"].value == lower_bound(Guesses(200, 100, 100, 180), 1e-5, 0.025)
    assert found["epsilon_ceiling"].value == lower_bound(Guesses(200, 200, 0, 200), 1e-5, 0.025)
    assert found["guesses_right"].value == 0.9
    several = measure(rows_of(planted_, scores), guessed=(0.1, 1.0))["epsilon_lower"].value
    assert several == lower_bound(Guesses(200, 100, 100, 180), 1e-5, 0.0125)


def test_more_than_is_claimed_is_an_alarm() -> None:
    rng = np.random.default_rng(0)
    planted_ = [bool(coin) for coin in rng.random(400) < 0.5]
    scores = [float(coin) for coin in planted_]
    found = measure(rows_of(planted_, scores, claimed=1.0))["epsilon_lower"]
    assert found.alarm is not None
    assert found.alarm.bound == 1.0
    assert "a bug in the training or in its accounting" in found.alarm.reason
    assert measure(rows_of(planted_, scores, claimed=8.0))["epsilon_lower"].alarm is None


def test_coins_alone_raise_no_alarm() -> None:
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(200):
        rows = rows_of([bool(coin) for coin in rng.random(200) < 0.5], list(rng.normal(size=200)), claimed=0.001)
        alarms += measure(rows)["epsilon_lower"].alarm is not None
    assert alarms <= 10


def test_the_own_curve_is_read_from_the_row_that_has_it() -> None:
    coins = [True, False] * 100
    rows = rows_of(coins, [float(coin) for coin in coins], claimed=3.0)
    assert "no curve of its own" in measure(rows)["epsilon_lower_own_curve"].note
    held = _own_curves(PrivacyClaim.model_construct(**SUM))
    rows = rows.assign(curves=pd.Series([held if number == 7 else [] for number in range(len(rows))], dtype=object))
    metric = measure(rows)["epsilon_lower_own_curve"]
    assert metric.value is not None
    assert metric.value > 0.5 * (measure(rows)["epsilon_lower_gaussian"].value or 0.0)
    assert metric.alarm is None
    assert "that of its accounting, at another size of noise; never an alarm" in metric.note
    assert _own_curves(None) == _own_curves(PrivacyClaim.model_construct(**{**SUM, "max_batch": 5})) == []


def test_few_canaries_say_what_they_could_show() -> None:
    note = measure(rows_of([True, False] * 20, [1.0, -1.0] * 20))["epsilon_lower"].note
    assert "40 canaries could show at most" in note
    assert "too few to tell much" in note


def test_equal_scores_are_told_apart_by_nothing_that_knows_the_coins() -> None:
    rows = rows_of([True] * 50 + [False] * 50, [0.0] * 100)
    shuffled = rows.sample(frac=1, random_state=0)
    found = [measure(each)["guesses_right"].value for each in (rows, shuffled)]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "numbers", [{"epsilon": -1.0}, {"epsilon": "NaN"}, {"delta": 0.0}, {"delta": 2.0}, {"run_epsilon": -2.0}]
)
def test_a_claim_that_cannot_be_is_no_claim_to_audit(
    gpt: CheckpointInfo, numbers: dict[str, Any], tmp_path: Path
) -> None:
    assert gpt.manifest is not None
    claim = PrivacyClaim.model_validate_json(
        json.dumps({**make_run(tmp_path / "run").claim.model_dump(mode="json"), **numbers})
    )
    info = replace(gpt, manifest=gpt.manifest.model_copy(update={"privacy": claim}))
    with pytest.raises(WrongDataError, match="which no training can have"):
        EpsilonAudit().cases(Plan(info, 0))


def test_a_checkpoint_audited_from_its_own_folder(gpt: CheckpointInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(gpt.path)
    for name in (".", f"../{gpt.path.name}/.", "./"):
        info = inspect_checkpoint(CheckpointSource(source=name), Permissions(manifest_sources=True))
        assert len(EpsilonAudit().cases(Plan(info, 0))) == 80


def test_what_cannot_be_audited_says_why(gpt: CheckpointInfo, tmp_path: Path) -> None:
    base = make_base(tmp_path / "plain", "gpt2", "causal_lm")
    with pytest.raises(NotApplicableError, match="train with --canaries"):
        EpsilonAudit().cases(Plan(inspect_checkpoint(CheckpointSource(source=str(base))), 0))
    info = planted(tmp_path, "gpt2", "causal_lm", {**SECRETS, "repetitions": [4]}, task="causal_lm", epochs=1)
    with pytest.raises(NoDataError, match="a claim is about one record"):
        EpsilonAudit().cases(Plan(info, 0))


def test_edited_coins_are_refused(tmp_path: Path) -> None:
    info = planted(tmp_path, "gpt2", "causal_lm", RANDOM, task="causal_lm", epochs=1)
    path = path_of(tmp_path / "trained", COINS)
    path.write_text(path.read_text().replace("true", "false", 1))
    with pytest.raises(UsageError, match="has been edited"):
        measured(EpsilonAudit(), info)


def test_missing_coins_say_who_has_them(tmp_path: Path) -> None:
    info = planted(tmp_path, "gpt2", "causal_lm", RANDOM, task="causal_lm", epochs=1)
    path_of(tmp_path / "trained", COINS).unlink()
    with pytest.raises(NoDataError, match="whoever trained it has it"):
        measured(EpsilonAudit(), replace(info))
