"""What makes membership not judgeable, what the claim allows, and data that are refused."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from harness.api.metrics import Metric
from harness.api.probe import Plan
from harness.checkpoint import CheckpointInfo, CheckpointSource, Permissions, inspect_checkpoint
from harness.data.datasets import DataSource, load_dataset
from harness.data.schemas import LabelledTexts
from harness.errors import NoDataError, NotApplicableError, WrongDataError
from harness.gate.decide import decide
from harness.gate.policy import Policy
from harness.provenance.manifest import PrivacyClaim
from privacy.training import train
from suites.memorization.hygiene.blind import MOST, blind_of, compared
from suites.memorization.hygiene.ceilings import ceilings
from suites.memorization.membership.probe import Membership, MembershipParams
from tests.privacy.toys import WORDS, make_base, make_spec, nonsense, write_rows
from tests.suites.memorization.membership.scored import audited

N = 60
Row = Mapping[str, str]


def shifted(n: int, seed: int) -> list[dict[str, str]]:
    """Texts of another kind: half of the words never occur."""
    rng = random.Random(seed)
    return [{"text": " ".join(rng.choices(WORDS[:6], k=8)), "label": str(row % 10)} for row in range(n)]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> CheckpointInfo:
    folder = tmp_path_factory.mktemp("classifier")
    base = make_base(folder / "base", "bert", "base", dropout=False)
    sides = {
        name: str(write_rows(folder / f"{name}.jsonl", nonsense(N, seed))) for name, seed in (("in", 1), ("out", 2))
    }
    train(make_spec(folder, base, data=sides["in"], held_out=sides["out"], epochs=12, learning_rate=5e-3))
    source = CheckpointSource(source=str(folder / "trained"))
    return inspect_checkpoint(source, Permissions(manifest_sources=True))


def with_non_members(info: CheckpointInfo, rows: list[Any], folder: Path) -> CheckpointInfo:
    """The same checkpoint, whose manifest names other held-out records."""
    assert info.manifest is not None
    source = DataSource(source=str(write_rows(folder / "others.jsonl", rows)))
    digest = load_dataset(source, LabelledTexts).digest
    return replace(
        info, manifest=info.manifest.model_copy(update={"non_members": source, "non_members_digest": digest})
    )


def by_key(metrics: list[Metric]) -> dict[str, Metric]:
    return {metric.key: metric for metric in metrics}


def test_where_texts_alone_tell_the_sides_apart_nothing_is_judged(classifier: CheckpointInfo, tmp_path: Path) -> None:
    probe = Membership()
    metrics = by_key(probe.measure(audited(probe, with_non_members(classifier, shifted(N, 3), tmp_path), tmp_path)))
    low = metrics["blind_auc"].low
    assert low is not None
    assert low > 0.5
    judged = {key for key, metric in metrics.items() if metric.value is not None}
    assert judged == {"blind_auc", "permuted_auc"}
    assert metrics["auc"].note.startswith("not judgeable: members and non-members differ without the model")
    assert "it would have been" in metrics["auc"].note
    assert "it would have been" in metrics["auc_log_odds"].note


def test_a_gate_on_what_is_not_judgeable_is_inconclusive(classifier: CheckpointInfo, tmp_path: Path) -> None:
    probe = Membership()
    metrics = probe.measure(audited(probe, with_non_members(classifier, shifted(N, 3), tmp_path), tmp_path))
    named = [metric.model_copy(update={"key": f"memorization/membership/{metric.key}"}) for metric in metrics]
    policy = Policy.model_validate(
        {"name": "x", "gates": [{"id": "private", "metric": "memorization/membership/auc", "max": 0.99}]}
    )
    (result,) = decide(policy, named).gates
    assert result.outcome == "inconclusive"
    assert "not judgeable" in result.reason


def test_one_pool_is_judged_and_both_signals_agree(classifier: CheckpointInfo, tmp_path: Path) -> None:
    probe = Membership()
    rows = audited(probe, classifier, tmp_path)
    metrics = by_key(probe.measure(rows))
    auc = metrics["auc"].value
    assert auc is not None
    assert metrics["auc_log_odds"].value == pytest.approx(auc, abs=1e-9)  # they order records alike
    assert rows["log_odds"].to_numpy() == pytest.approx(-np.log(np.expm1(rows["loss"].to_numpy())), abs=0.05)
    assert "auc_min_k" not in metrics


def test_the_same_texts_are_compared_again_alike() -> None:
    texts = [row["text"] for row in nonsense(80, 5)]
    members = np.arange(80) < 40
    assert compared(texts, members, 3) == compared(texts, members, 3)
    assert compared(texts, members, 3) != compared(texts, members, 4)


def test_copies_do_not_give_their_side_away() -> None:
    """A pool whose members all occur three times differs in nothing that a single record shows."""
    distinct = [row["text"] for row in nonsense(200, 6)]
    texts = [*distinct[:100] * 3, *distinct[100:]]
    members = np.arange(400) < 300
    found = compared(texts, members, 0)
    assert sum(each is not None for each in found) == 200
    scores, folds = (np.array([np.nan if each is None else getattr(each, name) for each in found]) for name in FIELDS)
    blind = blind_of(scores, folds, members)
    assert blind is not None
    assert (blind.members, blind.non_members) == (100, 100)
    assert blind.low < 0.5 < blind.high


FIELDS = ("score", "fold")


def test_no_more_than_the_cap_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST == 1000
    monkeypatch.setattr("suites.memorization.hygiene.blind.MOST", 30)
    texts = [row["text"] for row in nonsense(100, 7)]
    found = compared(texts, np.arange(100) < 50, 0)
    assert [sum(each is not None for each in side) for side in (found[:50], found[50:])] == [30, 30]
    assert compared(texts[:6], np.arange(6) < 3, 0) == [None] * 6  # fewer than folds


def claim(**fields: Any) -> PrivacyClaim:
    values = {
        "epsilon": 50.0,
        "delta": 1e-5,
        "sampling": "shuffled, no amplification",
        "sample_rate": 1.0,
        "compositions": 1,
        "noise_multiplier": 2.0,
        "group": 1,
        "max_batch": None,
        "earlier": (),
    }
    return PrivacyClaim.model_construct(**{**values, **fields})


def test_the_ceiling_is_that_of_the_mechanism_and_never_above_that_of_epsilon() -> None:
    rates = (0.01, 0.05, 0.1)
    ideal = norm.cdf(norm.ppf(rates) + 1 / 2.0)  # one Gaussian release, Dong, Roth & Su 2022
    assert ceilings(claim(), rates) == pytest.approx(ideal, abs=2e-3)
    tight = ceilings(claim(epsilon=0.1, delta=0.0), rates)
    assert tight == pytest.approx([np.exp(0.1) * rate for rate in rates])
    assert ceilings(None, rates) == ceilings(claim(epsilon=np.inf), rates) == []


@pytest.mark.parametrize("fields", [{"max_batch": 5}, {"noise_multiplier": 1e-3}, {"compositions": 10**12}])
def test_a_claim_that_cannot_be_computed_with_has_the_ceiling_of_its_epsilon(fields: dict[str, Any]) -> None:
    found = ceilings(claim(epsilon=1.0, delta=0.01, **fields), (0.1, 0.9))
    assert found == pytest.approx([np.e * 0.1 + 0.01, 1 - (1 - 0.01 - 0.9) / np.e])


def test_a_private_training_is_held_against_its_claim(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "base", dropout=False)
    sides = {
        name: str(write_rows(tmp_path / f"{name}.jsonl", nonsense(N, seed))) for name, seed in (("in", 1), ("out", 2))
    }
    values = {"privacy": {"epsilon": 1, "delta": 1e-3}, "label_names": [str(label) for label in range(10)]}
    train(make_spec(tmp_path, base, data=sides["in"], held_out=sides["out"], epochs=2, **values))
    info = inspect_checkpoint(CheckpointSource(source=str(tmp_path / "trained")), Permissions(manifest_sources=True))
    probe = Membership(MembershipParams(fprs=(0.35, 0.4)))
    rows = audited(probe, info, tmp_path)
    assert info.manifest is not None
    assert info.manifest.privacy is not None
    assert set(rows["claimed"]) == {info.manifest.privacy.epsilon}
    first, second = rows["ceilings"].iloc[0]
    assert 0.35 < first <= np.exp(1) * 0.35 + 1e-3
    assert first < second < 1
    metrics = by_key(probe.measure(rows))
    assert f"allows every attack at most {first:.4f}" in metrics["tpr_at_fpr_35pct"].note
    assert f"allows every attack at most {second:.4f}" in metrics["tpr_log_odds_at_fpr_40pct"].note


def test_non_members_that_were_members_are_refused_and_counted(classifier: CheckpointInfo, tmp_path: Path) -> None:
    known = [{**row, "text": f"  {row['text'].upper()} "} for row in nonsense(N, 1)[:3]]
    info = with_non_members(classifier, [*nonsense(N, 2), *known], tmp_path)
    with pytest.raises(WrongDataError, match="3 of 63 non-members are members as well"):
        Membership().cases(Plan(info, 0))


def test_a_side_that_is_too_small_is_refused(classifier: CheckpointInfo, tmp_path: Path) -> None:
    info = with_non_members(classifier, nonsense(19, 2), tmp_path)
    with pytest.raises(NoDataError, match="19 non-members, and membership needs 20 a side"):
        Membership().cases(Plan(info, 0))


@pytest.mark.parametrize(
    ("task", "config", "said"),
    [
        ("causal_lm", {}, "was trained as causal_lm, and that head is not there"),
        ("regression", {}, "'regression', which is no task"),
    ],
)
def test_a_manifest_of_another_task_does_not_apply(
    classifier: CheckpointInfo, task: str, config: dict[str, Any], said: str
) -> None:
    assert classifier.manifest is not None
    info = replace(classifier, manifest=classifier.manifest.model_copy(update={"task": task, "config": config}))
    with pytest.raises(NotApplicableError, match=said):
        Membership().cases(Plan(info, 0))
