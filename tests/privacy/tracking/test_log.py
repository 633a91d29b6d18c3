"""The MLflow run of a training: found together with the audits of its checkpoint, never at the training's cost."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from harness.audit.plan import AuditPlan
from harness.audit.run import conclude, start_audit
from harness.audit.spec import AuditSpec
from harness.base.stores import default_uri
from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.cli import main
from harness.provenance.claim import TrainingRecord, training_line
from harness.provenance.claim_check import ClaimCheck
from harness.provenance.manifest import MANIFEST_NAME, TrainingManifest, read_manifest
from harness.tracking.fetch import tracked_audits
from harness.tracking.log import log_audit
from harness.tracking.session import TrackingError, mlflow_session
from privacy.ledger import read_chain
from privacy.ledger.chain import ledger_bytes
from privacy.tracking.log import log_training, pending_trainings, tracking_note
from privacy.tracking.run import loss_curve, training_metrics
from privacy.training import train
from privacy.training.private.session import LEDGER_NAME
from privacy.training.records.step_rows import read_step_rows, step_rows_path
from tests.privacy.toys import make_base, make_spec


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), "bert", "classifier", dropout=False)


@pytest.fixture(scope="module")
def made(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint trained privately, one plainly, and a store whose tables exist: making them takes seconds."""
    home = tmp_path_factory.mktemp("made")
    privacy = {"noise_multiplier": 1.0, "max_grad_norm": 0.7}
    train(make_spec(home, base, batch_size=2, epochs=1, privacy=privacy, output=home / "private"))
    train(make_spec(home, base, epochs=2, output=home / "plain"))
    with mlflow_session(default_uri(home)) as client:
        client.search_experiments()
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def closed_port() -> Iterator[str]:
    with closing(socket.socket()) as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def log(home: Path, name: str) -> tuple[Any, dict[str, list[tuple[int, float]]], set[str]]:
    """The run, its metrics with all their steps, and its artifacts."""
    run_id = log_training(home / name, default_uri(home))
    with mlflow_session(default_uri(home)) as client:
        run = client.get_run(run_id)
        curves = {
            key: [(point.step, point.value) for point in client.get_metric_history(run_id, key)]
            for key in run.data.metrics
        }
        files = {
            file.path
            for folder in ("", "unprivatised", "training")
            for file in client.list_artifacts(run_id, folder)
            if not file.is_dir
        }
    return run, curves, files


def rows_of(folder: Path) -> tuple[TrainingManifest, pd.DataFrame]:
    manifest = read_manifest(folder)
    assert manifest is not None
    rows = read_step_rows(folder, manifest.weights)
    assert rows is not None
    return manifest, rows


def test_a_private_run_tells_its_claim_and_what_is_unprivatised(home: Path) -> None:
    run, curves, files = log(home, "private")
    manifest, rows = rows_of(home / "private")
    claim, metrics = manifest.privacy, run.data.metrics
    assert claim is not None
    for name in ("epsilon", "epsilon_lower", "second_opinion", "rdp", "delta", "noise_multiplier", "sample_rate"):
        assert metrics[f"privacy/{name}"] == getattr(claim, name), name
    assert (metrics["privacy/steps"], metrics["privacy/steps_lost"]) == (32, 0)
    used = rows["drawn"] - rows["non_finite"]
    assert metrics["unprivatised.clipped"] == pytest.approx((rows["clipped"].fillna(0) * used).sum() / used.sum())
    norms = np.concatenate(rows["gradient_norms"].tolist())
    for share in (0.1, 0.5, 0.9):
        found = metrics[f"unprivatised.gradient_norm/quantile_{share}"]
        assert found == pytest.approx(np.quantile(norms, share, method="nearest"))
    some = rows[rows["drawn"] > 0]
    assert curves["unprivatised.loss"] == list(zip(some["step"], some["loss"], strict=True))
    assert metrics["training/seconds"] == manifest.seconds
    assert metrics["training/peak_memory"] == manifest.peak_memory
    touched = {key for key in metrics if any(word in key for word in ("loss", "norm/", "clipped", "drawn"))}
    assert all(key.startswith("unprivatised.") for key in touched)
    assert files == {MANIFEST_NAME, LEDGER_NAME, f"unprivatised/{step_rows_path(home / 'private').name}"}


def test_a_run_can_be_searched_by_what_was_trained_and_how(home: Path, base: Path) -> None:
    run, _, _ = log(home, "private")
    manifest, _ = rows_of(home / "private")
    tags, params = run.data.tags, run.data.params
    assert manifest.privacy is not None
    assert tags["assay.base_fingerprint"] == inspect_checkpoint(CheckpointSource(source=str(base))).fingerprint.digest
    assert tags["assay.privacy.unit"] == "each record"
    assert tags["assay.privacy.accountant"] == manifest.privacy.accountant
    assert tags["assay.privacy.sampling"] == manifest.privacy.sampling
    checked = ClaimCheck.holds(manifest.privacy.epsilon)
    assert tags["assay.training"] == training_line(TrainingRecord.of(manifest, checked))
    assert params["privacy.max_grad_norm"] == "0.7"
    assert params["batch_size"] == "2"
    assert not any(key.startswith(("data", "output")) for key in params)
    (entry,) = run.inputs.dataset_inputs
    assert (entry.dataset.digest, entry.tags[0].value) == (manifest.members_digest[:36], "training")
    assert run.info.run_name == "private"
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == round(1000 * (manifest.seconds or 0))


def test_an_audit_of_the_checkpoint_and_its_training_are_found_together(home: Path) -> None:
    training = log_training(home / "private", default_uri(home))
    log_training(home / "plain", default_uri(home))
    spec = AuditSpec.model_validate({"checkpoint": str(home / "private"), "output": str(home)})
    plan = AuditPlan(spec, inspect_checkpoint(spec.checkpoint), (), {}, {})
    audit = log_audit(conclude(plan, start_audit(plan)).folder, default_uri(home), "assay")
    digest = plan.info.fingerprint.digest
    with mlflow_session(default_uri(home)) as client:
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = client.search_runs(experiments, f"tags.`assay.fingerprint` = '{digest}'")
        assert {run.info.run_id for run in runs} == {training, audit}
        one, other = (run.data.tags for run in runs)
        for name in ("checkpoint", "weights", "config", "tokenizer"):
            assert one[f"assay.{name}"] == other[f"assay.{name}"]
    assert [found.run_id for found in tracked_audits(default_uri(home))] == [audit]


def test_a_plain_run_has_its_losses_and_no_claim(home: Path) -> None:
    run, curves, files = log(home, "plain")
    manifest, rows = rows_of(home / "plain")
    assert curves["training/epoch_loss"] == list(enumerate(manifest.losses))
    assert curves["training/loss"] == list(zip(rows["step"], rows["loss"], strict=True))
    assert not [key for key in run.data.metrics if "privacy" in key or "unprivatised" in key]
    assert run.data.tags["assay.training"] == "without differential privacy"
    assert files == {MANIFEST_NAME, f"training/{step_rows_path(home / 'plain').name}"}


def test_logging_again_updates_the_same_run(home: Path) -> None:
    first = log_training(home / "plain", default_uri(home))
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        before = database.execute("select count(*) from metrics").fetchone()
        assert log_training(home / "plain", default_uri(home)) == first
        assert database.execute("select count(*) from metrics").fetchone() == before
        assert database.execute("select count(*) from runs").fetchone() == (1,)


def test_another_training_to_the_same_weights_is_another_run(home: Path) -> None:
    first = log_training(home / "plain", default_uri(home))
    path = home / "plain" / MANIFEST_NAME
    manifest = TrainingManifest.model_validate_json(path.read_bytes())
    path.write_text(manifest.model_copy(update={"seconds": 1.0}).model_dump_json())
    assert tracking_note(home / "plain") == {}
    assert log_training(home / "plain", default_uri(home)) != first


@pytest.mark.parametrize("steps", [1, 999, 1000, 1001, 2500])
def test_a_long_curve_is_averaged_over_stretches_of_steps(steps: int) -> None:
    chance = np.random.default_rng(steps)
    rows = pd.DataFrame({"step": range(steps), "finite": chance.integers(0, 4, steps), "loss": chance.random(steps)})
    rows.loc[0, "finite"] = 1
    rows.loc[rows["finite"] == 0, "loss"] = np.nan
    curve = list(loss_curve(rows))
    some = rows[rows["finite"] > 0]
    assert 1 <= len(curve) <= 1000
    assert [step for step, _ in curve] == sorted({step for step, _ in curve})
    assert curve[-1][0] == some["step"].iloc[-1]
    ends = [0, *np.searchsorted(some["step"], [step for step, _ in curve], side="right")]
    for start, stop, (_, loss) in zip(ends, ends[1:], curve, strict=False):
        part = some.iloc[start:stop]
        assert loss == pytest.approx((part["loss"] * part["finite"]).sum() / part["finite"].sum())
    if len(some) <= 1000:
        assert curve == list(zip(some["step"], some["loss"], strict=True))


def test_a_bound_that_is_infinite_is_no_metric(made: Path) -> None:
    manifest, _ = rows_of(made / "private")
    assert manifest.privacy is not None
    unbounded = manifest.privacy.model_copy(update={"epsilon": float("inf"), "rdp": None})
    metrics = training_metrics(manifest.model_copy(update={"privacy": unbounded}), ClaimCheck.holds(1.0))
    assert not {"privacy/epsilon", "privacy/rdp"} & set(metrics)
    assert metrics["privacy/delta"] == manifest.privacy.delta


def test_a_claim_that_does_not_follow_is_no_metric(home: Path) -> None:
    """`assay sync` logs whatever lies in a folder."""
    path = home / "private" / MANIFEST_NAME
    content = json.loads(path.read_text())
    content["privacy"]["epsilon"] = 0.001
    path.write_text(json.dumps(content))
    run, _, _ = log(home, "private")
    assert run.data.tags["assay.training"].startswith("epsilon not verifiable: epsilon is ")
    assert not [key for key in run.data.metrics if key.startswith("privacy/")]
    assert not [key for key in run.data.tags if key.startswith("assay.privacy.")]


def test_an_audit_compares_the_ledger_with_what_mlflow_remembers(home: Path) -> None:
    """Ledger and manifest lie in one folder: whoever can write there can make up both, in a way that follows."""
    folder = home / "private"
    run, _, _ = log(home, "private")
    true = read_chain(folder / LEDGER_NAME)
    assert run.data.tags["assay.privacy.ledger"] == true.head

    def check() -> ClaimCheck:
        spec = AuditSpec.model_validate({"checkpoint": str(folder), "output": str(home)})
        plan = AuditPlan(spec, inspect_checkpoint(spec.checkpoint), (), {}, {})
        training = start_audit(plan).manifest().checkpoint.training
        assert training is not None
        assert training.privacy is not None
        return training.privacy.check

    assert check().verified
    made_up = ledger_bytes(true.header.model_copy(update={"run": "another"}), true.spent)
    (folder / LEDGER_NAME).write_bytes(made_up)
    path = folder / MANIFEST_NAME
    content = json.loads(path.read_text())
    content["privacy"]["ledger"] = read_chain(folder / LEDGER_NAME).head
    path.write_text(json.dumps(content))
    assert check().reason == (
        "MLflow has a training of these weights with another privacy ledger than the one beside them"
    )
    log_training(folder, default_uri(home))
    assert not check().verified, "logging what was made up as well does not make it true"
    (home / "mlflow.db").rename(home / "elsewhere.db")
    assert check().verified, "without a store only the folder itself can be asked"


def test_rows_that_are_lost_cost_only_the_curve(home: Path) -> None:
    step_rows_path(home / "private").unlink()
    _, curves, files = log(home, "private")
    assert "unprivatised.loss" not in curves
    assert files == {MANIFEST_NAME, LEDGER_NAME}


def test_what_is_no_training_is_not_logged(home: Path, base: Path) -> None:
    with pytest.raises(TrackingError, match="holds no training manifest of its weights"):
        log_training(base, default_uri(home))
    with pytest.raises(TrackingError, match="nowhere"):
        log_training(home / "nowhere", default_uri(home))
    step_rows_path(home / "plain").write_bytes(b"torn")
    with pytest.raises(TrackingError, match="damaged rows"):
        log_training(home / "plain", default_uri(home))


def assay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run `assay` as a user does: exit code, standard output, standard error."""
    monkeypatch.setattr("sys.argv", ["assay", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    out = capsys.readouterr()
    return int(ended.value.code or 0), out.out, out.err


@pytest.fixture
def spec(base: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training spec in an empty working folder."""
    folder = home / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    settings = make_spec(folder, base, epochs=1).model_dump(mode="json", exclude_defaults=True)
    (folder / "train.yaml").write_text(yaml.safe_dump(settings))
    return folder / "train.yaml"


def test_training_logs_beside_the_audits_unless_told_otherwise(
    spec: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = spec.parent / "trained"
    assert assay(monkeypatch, capsys, "train", spec, "--tracking-uri", "off")[0] == 0
    assert tracking_note(trained) == {}
    audits = spec.parent / "audits"
    audits.mkdir()
    shutil.copy(home / "mlflow.db", audits)
    code, out, err = assay(monkeypatch, capsys, "train", spec, "--if-missing")
    assert (code, err) == (0, "")
    note = tracking_note(trained)
    assert (note["uri"], note["state"]) == (default_uri(Path("audits")), "logged")
    assert f"run {note['run_id']}" in out
    again = assay(monkeypatch, capsys, "train", spec, "--if-missing")
    assert again[0] == 0
    assert "mlflow" not in again[1]


def test_a_server_that_is_away_costs_nothing_but_a_sentence(
    spec: Path, home: Path, closed_port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = spec.parent / "trained"
    code, out, err = assay(monkeypatch, capsys, "train", spec, "--tracking-uri", closed_port)
    assert code == 0
    assert "8 steps in" in out
    assert err.strip().splitlines() == [err.strip()]
    assert "connection refused: nothing listens there); the checkpoint is kept, send its training with: " in err
    assert f"assay sync --output {spec.parent}" in err
    assert read_manifest(trained) is not None
    assert pending_trainings(spec.parent) == [trained]
    code, out, _ = assay(monkeypatch, capsys, "sync", "--output", spec.parent, "--tracking-uri", default_uri(home))
    assert code == 0
    assert "1 trainings sent" in out
    assert pending_trainings(spec.parent) == []
    assert "nothing waits" in assay(monkeypatch, capsys, "sync", "--output", spec.parent)[1]


def test_only_one_of_several_processes_logs(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assay(monkeypatch, capsys, "train", spec, "--tracking-uri", "off")
    monkeypatch.setenv("RANK", "1")
    assert "mlflow" not in assay(monkeypatch, capsys, "train", spec, "--if-missing")[1]
    assert tracking_note(spec.parent / "trained") == {}
