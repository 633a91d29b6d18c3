"""Shadow models, from training to the attacks that need them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm
from typer.testing import CliRunner

from harness.api.metrics import Metric
from harness.api.models import Models
from harness.api.probe import Plan
from harness.api.scorer import Bools, Floats
from harness.checkpoint import CheckpointInfo, CheckpointSource, Permissions, inspect_checkpoint, load_checkpoint
from harness.cli import app
from harness.data.datasets import DataSource, load_dataset
from harness.data.schemas import LabelledTexts
from harness.errors import NoDataError, UsageError, WrongDataError
from harness.provenance.manifest import MANIFEST_NAME, PrivacyClaim, TrainingManifest
from harness.record.prepared import KeptOnDisk
from harness.scorer.hf import HFScorer
from harness.stats.intervals import auc
from privacy.training import train
from suites.memorization.shadow_attack import UNALIKE, ShadowAttack, ShadowAttackParams, _rmia, trained_alike
from suites.memorization.shadows.pool import load_pool
from suites.memorization.shadows.store import read_shadows, shadow_folder, shadow_path
from suites.memorization.shadows.train import train_shadows
from suites.memorization.signals.lira import confidence, lira_offline, lira_online
from tests.privacy.toys import make_base, make_spec, nonsense, write_rows

N = 60


@pytest.fixture(scope="module")
def overfitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT that learnt random labels by heart, with eight shadows trained as it was."""
    folder = tmp_path_factory.mktemp("overfitted")
    base = make_base(folder / "base", "bert", "base", dropout=False)
    sides = {
        name: str(write_rows(folder / f"{name}.jsonl", nonsense(N, seed))) for name, seed in (("in", 1), ("out", 2))
    }
    fields = {"data": sides["in"], "held_out": sides["out"], "epochs": 25, "learning_rate": 5e-3, "weight_decay": 0.0}
    train(make_spec(folder, base, **fields))
    train_shadows(folder / "trained", count=8, mode="same", trusted=True)
    return folder / "trained"


def info_of(folder: Path) -> CheckpointInfo:
    return inspect_checkpoint(CheckpointSource(source=str(folder)), Permissions(manifest_sources=True))


def measured(folder: Path, store: Path) -> tuple[pd.DataFrame, dict[str, Metric]]:
    info = info_of(folder)
    scorer = HFScorer(load_checkpoint(info, device="cpu"))
    probe = ShadowAttack(ShadowAttackParams(fprs=(0.4, 0.01))).within(Models(scorer), KeptOnDisk(store))
    plan = Plan(info, 0)
    cases = probe.cases(plan)
    probe.prepare(Models(scorer), replace(plan, cases=cases))
    rows = pd.DataFrame(list(probe.run(scorer, cases)))
    good = pd.DataFrame(probe.Row.validate(rows[rows["status"] == "ok"]))
    return good, {metric.key: metric for metric in probe.measure(rows)}


def test_shadows_tell_the_members_of_an_overfitted_model(overfitted: Path, tmp_path: Path) -> None:
    rows, metrics = measured(overfitted, tmp_path)
    assert rows.groupby("member").size().to_dict() == {False: N, True: N}
    for attack in ("lira", "lira_offline", "rmia"):
        value = metrics[f"{attack}_auc"]
        assert value.low is not None
        assert value.low > 0.6, attack
    assert metrics["lira_tpr_at_fpr_40pct"].value is not None
    assert metrics["lira_tpr_at_fpr_40pct"].value > 0.6
    assert "1 % needs 1,000 non-members" in metrics["lira_tpr_at_fpr_1pct"].note
    assert rows.groupby("member")["fixing"].sum().to_dict() == {False: N // 2, True: 0}
    blind = metrics["blind_auc"]
    assert blind.low is not None
    assert blind.high is not None
    assert blind.low < 0.5 < blind.high


@pytest.mark.parametrize(
    ("config", "claimed", "mode", "alike"),
    [
        ({}, False, "same", True),
        ({}, True, "same", True),
        ({}, False, "head", False),
        ({"mode": "full"}, False, "lora", False),
        ({"mode": "head"}, False, "head", True),
        ({"mode": "head"}, True, "head", False),
        ({"lora": {"rank": 8}}, False, "lora", True),
        ({"mode": "bitfit"}, False, "head", False),
    ],
)
def test_shadows_are_alike_in_mode_and_privacy(config: Any, claimed: bool, mode: str, alike: bool) -> None:
    values: dict[str, Any] = {"config": config, "privacy": PrivacyClaim.model_construct(**{}) if claimed else None}
    assert trained_alike(TrainingManifest.model_construct(**values), mode) is alike


def test_online_lira_has_no_value_by_shadows_that_are_not_alike(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "base", dropout=False)
    sides = {n: str(write_rows(tmp_path / f"{n}.jsonl", nonsense(40, s))) for n, s in (("in", 1), ("out", 2))}
    train(make_spec(tmp_path, base, data=sides["in"], held_out=sides["out"], epochs=20, learning_rate=5e-3))
    train_shadows(tmp_path / "trained", count=4, mode="head", trusted=True)
    rows, metrics = measured(tmp_path / "trained", tmp_path / "kept")
    assert len(rows) > 60
    assert rows["lira"].isna().all()
    for key in ("lira_auc", "lira_tpr_at_fpr_40pct"):
        assert metrics[key].value is None
        assert metrics[key].note == UNALIKE
    assert metrics["rmia_auc"].value is not None
    offline = metrics["lira_offline_auc"]
    assert offline.value is not None
    far = math.sqrt((rows.loc[~rows["member"], "lira_offline"] ** 2).mean())
    assert f"held-out records lie {far:.3g} deviations (root mean square)" in offline.note
    for frame in (rows, rows.assign(lira=0.5)):  # as rows of others may have it
        [plot] = ShadowAttack().plots(frame)
        assert [each.name for each in plot.curves] == ["lira_offline", "rmia", "chance"]


def toy_signals(mode: str, seed: int) -> tuple[Floats, Floats, Bools]:
    """Log odds of a small network trained in full on the first half, of 16 shadows trained in `mode`, who saw what."""
    draw = torch.Generator().manual_seed(seed)
    inputs, direction = torch.randn(160, 20, generator=draw), torch.randn(20, generator=draw)
    labels = ((inputs @ direction > 0) ^ (torch.rand(160, generator=draw) < 0.25)).long()
    hidden = torch.randn(20, 64, generator=draw) / 20**0.5

    def learnt(taken: Any, how: str) -> Floats:
        first, last = hidden.clone(), torch.zeros(64, 2)
        weights = [last, first] if how == "full" else [last]
        for each in weights:
            each.requires_grad_()
        optimizer = torch.optim.Adam(weights, lr=0.02)
        for _ in range(120):
            chosen = taken[torch.randint(len(taken), (16,), generator=draw)]
            loss = torch.nn.functional.cross_entropy(torch.tanh(inputs[chosen] @ first) @ last, labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return confidence((torch.tanh(inputs @ first) @ last).detach().numpy(), labels.numpy())

    inside = np.random.default_rng(seed).random((16, 160)) < 0.5
    target = learnt(torch.arange(80), "full")
    return target, np.stack([learnt(torch.tensor(np.flatnonzero(row)), mode) for row in inside]), inside


def test_why_online_lira_needs_shadows_that_are_alike() -> None:
    """By shadows trained in full it beats offline LiRA; by heads alone it is worse than that by far."""
    member, areas = np.arange(160) < 80, {}
    for mode in ("full", "head"):
        found = [toy_signals(mode, seed) for seed in range(3)]
        for name, attack in (("online", lira_online), ("offline", lira_offline)):
            scores = [attack(*each) for each in found]
            areas[mode, name] = np.mean([auc(each[member], each[~member]) for each in scores])
    assert areas["full", "online"] > areas["full", "offline"] + 0.02
    assert areas["head", "online"] < areas["head", "offline"] - 0.1
    assert areas["full", "online"] > areas["head", "online"] + 0.15


def test_where_texts_alone_tell_members_no_attack_is_judged(overfitted: Path, tmp_path: Path) -> None:
    rows, _ = measured(overfitted, tmp_path)
    rows["blind"] = rows["member"] + np.random.default_rng(0).random(len(rows))  # every member above all others
    metrics = {metric.key: metric for metric in ShadowAttack(ShadowAttackParams(fprs=(0.4,))).measure(rows)}
    assert {key for key, metric in metrics.items() if metric.value is not None} == {"blind_auc"}
    assert "split one pool at random (it would have been" in metrics["lira_auc"].note


def test_lira_is_that_of_its_formula(overfitted: Path, tmp_path: Path) -> None:
    """Record by record, two normals by hand: means of the shadows of either side, variances pooled over records."""
    rows, _ = measured(overfitted, tmp_path)
    shadows = read_shadows(overfitted, {})
    by_place = {case.id: case.data["place"] for case in ShadowAttack().cases(Plan(info_of(overfitted), 0))}

    def pooled(seen: np.ndarray) -> float:
        parts = [shadows.signals[seen[:, n], n] for n in range(2 * N)]
        squares = sum(((part - part.mean()) ** 2).sum() for part in parts if len(part))
        return float(np.sqrt(squares / sum(max(0, len(part) - 1) for part in parts)))

    deviations = pooled(shadows.inside), pooled(~shadows.inside)
    for row in rows.head(20).itertuples():
        place = by_place[str(row.case_id)]
        saw = shadows.inside[:, place]
        means = shadows.signals[saw, place].mean(), shadows.signals[~saw, place].mean()
        density = [norm.logpdf(row.signal, mean, deviation) for mean, deviation in zip(means, deviations, strict=True)]
        assert row.lira == pytest.approx(density[0] - density[1], abs=1e-6)
        assert row.lira_offline == pytest.approx((row.signal - means[1]) / deviations[1], abs=1e-6)
        assert (row.inside, row.outside) == (saw.sum(), (~saw).sum())


def test_rmia_is_that_of_its_formula(overfitted: Path, tmp_path: Path) -> None:
    rows, _ = measured(overfitted, tmp_path)
    shadows = read_shadows(overfitted, {})
    by_place = {case.id: case.data["place"] for case in ShadowAttack().cases(Plan(info_of(overfitted), 0))}
    chances = 1 / (1 + np.exp(-shadows.signals))
    gains = {}
    for row in rows.itertuples():
        place = by_place[str(row.case_id)]
        saw = shadows.inside[:, place]
        marginal = (chances[saw, place].mean() + chances[~saw, place].mean()) / 2
        gains[str(row.case_id)] = 1 / (1 + np.exp(-float(str(row.signal)))) / marginal
    population = {str(row.case_id): gains[str(row.case_id)] for row in rows.itertuples() if not row.member}
    for row in [*rows.head(20).itertuples(), *rows.tail(20).itertuples()]:
        own = gains[str(row.case_id)]
        expected = np.mean([0.5 if case == str(row.case_id) else own / gain > 1 for case, gain in population.items()])
        assert row.rmia == pytest.approx(expected, abs=1.5 / len(population))


@pytest.mark.parametrize("gamma", [0.8, 1.0, 1.5])
def test_rmia_of_a_model_that_tells_nothing_is_one_half(gamma: float) -> None:
    """Did a held-out record not count itself half, it would be 0.525 at 20 of them and gamma 1."""
    draw, inside = np.random.default_rng(0), np.array([[True] * 40, [False] * 40])
    member, areas = np.arange(40) < 20, []
    for _ in range(1500):
        target = draw.normal(size=40)
        shares = _rmia(target, np.zeros((2, 40)), inside, ~member, gamma, odds=False)
        areas.append(auc(shares[member], shares[~member]))
    assert np.mean(areas) == pytest.approx(0.5, abs=4 * np.std(areas) / np.sqrt(len(areas)))


def test_a_stopped_run_goes_on_and_makes_the_same(overfitted: Path) -> None:
    path = shadow_path(shadow_folder(overfitted), 3)
    before = read_shadows(overfitted, {}).signals
    path.unlink()
    assert train_shadows(overfitted, count=8, mode="same", trusted=True).made == 1
    np.testing.assert_allclose(read_shadows(overfitted, {}).signals, before, atol=1e-4)
    assert path.stat().st_mode & 0o077 == 0
    assert not (shadow_folder(overfitted) / "work").exists()


def test_attacks_kept_by_other_audits_are_those_of_the_same_shadows(overfitted: Path, tmp_path: Path) -> None:
    """A folder of what was prepared may serve many audits, and shadows may be added between two of them."""
    path = shadow_path(shadow_folder(overfitted), 7)
    whole, content = measured(overfitted, tmp_path)[0], path.read_bytes()
    path.unlink()
    try:
        fewer = measured(overfitted, tmp_path)[0]
    finally:
        path.write_bytes(content)
        path.chmod(0o600)
    assert set(whole["inside"] + whole["outside"]) == {8}
    assert set(fewer["inside"] + fewer["outside"]) == {7}


def with_config(trained: Path, **config: object) -> None:
    path = trained / MANIFEST_NAME
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "config": {**manifest["config"], **config}}))


def test_a_manifest_has_no_other_base_opened(tmp_path: Path) -> None:
    """Records in the checkpoint's own folder need no trust; a base elsewhere, or on the hub, is not read for that."""
    base = make_base(tmp_path / "base", "bert", "base")
    sides = {n: write_rows(tmp_path / f"{n}.jsonl", nonsense(20, s)) for n, s in (("in", 1), ("out", 2))}
    train(make_spec(tmp_path, base, data=str(sides["in"]), held_out=str(sides["out"]), epochs=1))
    trained = tmp_path / "trained"
    manifest = json.loads((trained / MANIFEST_NAME).read_text())
    for side, name in (("in", "members"), ("out", "non_members")):
        own = trained / f"{side}.jsonl"
        own.write_bytes(sides[side].read_bytes())
        manifest[name] = {**manifest[name], "source": str(own)}
    (trained / MANIFEST_NAME).write_text(json.dumps(manifest))
    with pytest.raises(NoDataError, match=r"begins training with what lies outside its folder .*--trust-manifest"):
        train_shadows(trained, count=1)
    with_config(trained, base="somebody/else")
    with pytest.raises(NoDataError, match="somebody/else"):
        train_shadows(trained, count=1)
    other = make_base(tmp_path / "other", "bert", "base", dropout=False)
    with_config(trained, base=str(other))
    with pytest.raises(UsageError, match="is not the base that"):
        train_shadows(trained, count=1, trusted=True)
    assert not list(shadow_folder(trained).glob("shadow-*"))
    fresh = {"kind": "bert", "layers": 1, "hidden": 16, "heads": 2, "corpus": "/etc/hostname#column=text"}
    with_config(trained, base=None, fresh=fresh)
    with pytest.raises((NoDataError, UsageError), match="outside its folder"):
        train_shadows(trained, count=1, mode="same")


def test_held_out_records_that_were_members_are_refused(overfitted: Path, tmp_path: Path) -> None:
    info = info_of(overfitted)
    assert info.manifest is not None
    rows = [*nonsense(N, 2), {**nonsense(N, 1)[0], "text": nonsense(N, 1)[0]["text"].upper()}]
    source = DataSource(source=str(write_rows(tmp_path / "out.jsonl", rows)))
    named = {"non_members": source, "non_members_digest": load_dataset(source, LabelledTexts).digest}
    with pytest.raises(WrongDataError, match="1 of 61 non-members are members as well"):
        load_pool(replace(info, manifest=info.manifest.model_copy(update=named)))


def test_coins_are_fair_and_each_shadow_has_its_own(overfitted: Path) -> None:
    inside = read_shadows(overfitted, {}).inside
    assert abs(inside.mean() - 0.5) < 0.1
    assert len({row.tobytes() for row in inside}) == len(inside)


def test_what_does_not_fit_is_one_sentence(overfitted: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a shadow of other weights, records or settings"):
        train_shadows(overfitted, count=8, mode="head", trusted=True)
    with pytest.raises(UsageError, match="are of other weights"):
        read_shadows(overfitted, {"weights": "0"})
    base = make_base(tmp_path / "plain", "bert", "classifier")
    with pytest.raises(NoDataError, match="has no shadow models"):
        read_shadows(base, {})
    damaged = tmp_path / "trained.shadows"
    damaged.mkdir()
    shadow_path(damaged, 0).write_bytes(b"nothing")
    with pytest.raises(UsageError, match="delete it, and assay shadows makes it again"):
        read_shadows(tmp_path / "trained", {})


@pytest.mark.parametrize(("kind", "head", "mode"), [("gpt2", "causal_lm", "lora"), ("bert", "masked_lm", "same")])
def test_language_models(kind: str, head: str, mode: str, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", kind, head, dropout=False)
    sides = {n: str(write_rows(tmp_path / f"{n}.jsonl", nonsense(30, s))) for n, s in (("in", 1), ("out", 2))}
    fields = {"task": head, "data": sides["in"], "held_out": sides["out"], "epochs": 3}
    train(make_spec(tmp_path, base, **fields))
    train_shadows(tmp_path / "trained", count=3, mode=mode, trusted=True)  # type: ignore[arg-type]
    rows, metrics = measured(tmp_path / "trained", tmp_path / "kept")
    assert 30 <= len(rows) <= 60  # some were seen by all three, or by none
    assert metrics["rmia_auc"].value is not None


def test_the_command_says_what_it_made(overfitted: Path) -> None:
    result = CliRunner().invoke(app, ["shadows", str(overfitted), "--count", "2", "--mode", "same", "--trust-manifest"])
    assert result.exit_code == 0, result.output
    assert "2 shadows, 0 of them new" in result.output
