from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.base.stores import default_uri
from harness.record.folder import AuditFolder, Status
from harness.tracking.fetch import aliased_runs, fetch_audit, tracked_audits
from harness.tracking.log import TrackingError, audit_params, log_audit, metric_values, pending
from harness.tracking.session import SETTINGS, mlflow_session
from tests.audit_folder import make_audit


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose MLflow tables exist already: making them takes seconds."""
    output = tmp_path_factory.mktemp("audits")
    with mlflow_session(default_uri(output)) as client:
        client.search_experiments()
    return output


@pytest.fixture
def output(store: Path, tmp_path: Path) -> Path:
    (tmp_path / "mlflow.db").write_bytes((store / "mlflow.db").read_bytes())
    return tmp_path


@pytest.fixture
def closed_port() -> Iterator[str]:
    with closing(socket.socket()) as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def get_run(output: Path, run_id: str) -> Any:
    with mlflow_session(default_uri(output)) as client:
        return client.get_run(run_id)


def test_a_run_tells_everything_about_the_audit(output: Path) -> None:
    folder = make_audit(output)
    run_id = log_audit(folder, default_uri(output), "assay")
    run = get_run(output, run_id)
    manifest, verdict = folder.manifest(), folder.verdict()
    assert verdict is not None
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "sentiment"
    assert run.info.end_time - run.info.start_time == 5 * 60 * 1000
    assert run.data.params["checkpoint.source"] == "models/sentiment"
    assert run.data.params["probes"].startswith("quality/classification, ")
    assert run.data.tags["assay.audit_id"] == manifest.audit_id
    assert run.data.tags["assay.fingerprint"] == manifest.checkpoint.fingerprint
    assert run.data.tags["assay.version.torch"] == "2.13.0"
    assert run.data.tags["assay.git_commit"] == manifest.git_commit
    assert run.data.tags["assay.verdict"] == "block"
    assert run.data.tags["assay.verdict_reason"] == verdict.reason
    assert run.data.tags["assay.data.quality/classification/texts"] == manifest.probes[0].data["texts"].digest
    assert run.data.metrics["adversarial/deepwordbug/attack_success"] == 0.75
    assert folder.tracking() == {
        "uri": default_uri(output),
        "run_id": run_id,
        "experiment": "assay",
        "state": "logged",
    }


def test_missing_and_minor_metrics_are_not_logged(tmp_path: Path) -> None:
    values = metric_values(make_audit(tmp_path).metrics())
    assert not [key for key in values if key.startswith("memorization/") or "brier" in key]
    assert {key for key in values if "accuracy" in key} == {
        f"quality/classification/accuracy{part}{end}"
        for part in ("", "/slice/positive")
        for end in ("", "/low", "/high", "/n")
    }
    assert values["quality/classification/accuracy/n"] == 38.0


def test_datasets_are_inputs_without_their_data(output: Path) -> None:
    folder = make_audit(output)
    (entry,) = get_run(output, log_audit(folder, default_uri(output), "assay")).inputs.dataset_inputs
    assert entry.dataset.name == "data/reviews.csv"
    assert entry.dataset.digest == folder.manifest().probes[0].data["texts"].digest[:36]
    assert json.loads(entry.dataset.profile) == {"num_rows": 80}
    assert "bias/counterfactual/texts" in entry.tags[0].value


def test_logging_again_updates_the_same_run(output: Path) -> None:
    folder = make_audit(output)
    first = log_audit(folder, default_uri(output), "assay")
    kept = [metric for metric in folder.metrics() if metric.key != "bias/counterfactual/flip_rate"]
    folder.write_metrics(
        [metric.model_copy(update={"value": 0.5}) if "ece" in metric.key else metric for metric in kept]
    )
    assert log_audit(folder, default_uri(output), "assay") == first
    metrics = get_run(output, first).data.metrics
    assert metrics["quality/classification/ece"] == 0.5
    assert metrics["bias/counterfactual/flip_rate"] != metrics["bias/counterfactual/flip_rate"]  # NaN: missing now
    with closing(sqlite3.connect(output / "mlflow.db")) as database:
        assert database.execute("select count(*) from runs").fetchone() == (1,)
        query = "select count(*) from metrics where key = 'quality/classification/accuracy'"
        assert database.execute(query).fetchone() == (1,)


def test_a_run_cut_short_is_found_and_finished(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_audit(output)
    with monkeypatch.context() as patch:
        full = OSError("the disk is full")
        patch.setattr("harness.tracking.log._log_artifacts", lambda *_: (_ for _ in ()).throw(full))
        with pytest.raises(TrackingError, match=r"the disk is full"):
            log_audit(folder, default_uri(output), "assay")
    assert folder.tracking() == {}
    assert [waiting.path for waiting in pending(output)] == [folder.path]
    (unfinished,) = tracked_audits(default_uri(output))
    assert log_audit(folder, default_uri(output), "assay") == unfinished.run_id
    assert pending(output) == []


def test_a_thousand_metrics_arrive(output: Path) -> None:
    folder = make_audit(output)
    sample = folder.metrics()[0]
    folder.write_metrics([sample.model_copy(update={"key": f"quality/many/m{index}"}) for index in range(600)])
    metrics = get_run(output, log_audit(folder, default_uri(output), "assay")).data.metrics
    assert len(metrics) == 4 * 600


def test_a_logged_audit_comes_back_as_a_folder(
    output: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(output / "cache"))
    folder = make_audit(output)
    log_audit(folder, default_uri(output), "assay")
    (tracked,) = tracked_audits(default_uri(output))
    assert (tracked.verdict, tracked.checkpoint, tracked.status) == ("block", "models/sentiment", "finished")
    assert tracked.gates == {"pass": 1, "block": 1, "inconclusive": 3}
    fetched = fetch_audit(default_uri(output), tracked)
    assert fetched.manifest() == folder.manifest()
    assert fetched.metrics() == folder.metrics()
    assert fetched.rows("adversarial/deepwordbug").equals(folder.rows("adversarial/deepwordbug"))
    assert (output / "mlartifacts").is_dir()
    assert capfd.readouterr() == ("", "")
    (output / "mlartifacts").rename(output / "gone")
    assert fetch_audit(default_uri(output), tracked).path == fetched.path  # from the cache


def test_audits_that_were_moved_with_their_store_are_read_and_logged_on(
    output: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's tables hold the folder of the artifacts by its absolute path."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path_factory.mktemp("cache")))
    folder = make_audit(output)
    run_id = log_audit(folder, default_uri(output), "assay")
    there = tmp_path_factory.mktemp("elsewhere") / "audits"
    output.rename(there)
    moved = AuditFolder(there / folder.path.name)
    assert moved.tracking()["uri"] == default_uri(there)
    (tracked,) = tracked_audits(default_uri(there))
    assert fetch_audit(default_uri(there), tracked).metrics() == moved.metrics()
    (there / "mlartifacts" / run_id / "artifacts" / "metrics.json").unlink()
    assert log_audit(moved, moved.tracking()["uri"], "assay") == run_id
    assert (there / "mlartifacts" / run_id / "artifacts" / "metrics.json").is_file()
    assert not output.exists()


def test_params_are_short_and_hold_given_settings(tmp_path: Path) -> None:
    spec = {
        "probes": [{"name": "quality/perplexity", "params": {"window": 256}}],
        "limits": {"cases": 7},
        "checkpoint": {"source": "x" * 9000},
        "tracking": {"uri": "http://host"},
    }
    params = audit_params(make_audit(tmp_path, spec=spec).manifest())
    assert params["quality/perplexity.window"] == "256"
    assert params["limits.cases"] == "7"
    assert len(params["checkpoint.source"]) == 6000  # what MLflow keeps
    assert not any("http" in text for text in params.values())


def test_a_server_that_is_away_is_named_in_one_sentence(tmp_path: Path, closed_port: str) -> None:
    folder = make_audit(tmp_path)
    before = {key: os.environ.get(key) for key in SETTINGS}
    with pytest.raises(TrackingError) as caught:
        log_audit(folder, closed_port, "assay")
    sentence = str(caught.value)
    assert "connection refused" in sentence
    assert "\n" not in sentence
    assert {key: os.environ.get(key) for key in SETTINGS} == before
    assert folder.tracking() == {}


def test_settings_of_the_user_stay(monkeypatch: pytest.MonkeyPatch, closed_port: str) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "99")
    with mlflow_session(closed_port):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "99"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == SETTINGS["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "99"


@pytest.mark.parametrize("uri", ["sqlite:////dev/null/mlflow.db", "gopher://nowhere", "postgresql://a@nowhere/c"])
def test_a_store_that_cannot_be_used_is_a_tracking_error(tmp_path: Path, uri: str) -> None:
    with pytest.raises(TrackingError, match="MLflow failed"):
        log_audit(make_audit(tmp_path), uri, "assay")


def test_a_deleted_experiment_is_named(output: Path) -> None:
    with mlflow_session(default_uri(output)) as client:
        client.delete_experiment(client.create_experiment("old"))
    with pytest.raises(TrackingError, match="'old' is deleted"):
        log_audit(make_audit(output), default_uri(output), "old")


def test_an_unfinished_audit_is_not_logged(tmp_path: Path) -> None:
    folder = make_audit(tmp_path, status=Status.INTERRUPTED)
    with pytest.raises(TrackingError, match="interrupted, only finished"):
        log_audit(folder, default_uri(tmp_path), "assay")
    assert not (tmp_path / "mlflow.db").exists()


def test_pending_are_finished_audits_that_were_not_logged(tmp_path: Path) -> None:
    waiting = make_audit(tmp_path, "5-waiting")
    failed = make_audit(tmp_path, "4-failed")
    failed.write_tracking({"uri": "http://away", "state": "pending"})
    make_audit(tmp_path, "3-logged").write_tracking({"state": "logged"})
    make_audit(tmp_path, "2-running", status=Status.RUNNING)
    make_audit(tmp_path, "1-off", spec={"tracking": {"uri": "off"}})
    (make_audit(tmp_path, "0-damaged").manifest_path).write_text("{", encoding="utf-8")
    assert [folder.path for folder in pending(tmp_path)] == [waiting.path, failed.path]
    (waiting.path / "tracking.json").write_text("{", encoding="utf-8")
    assert waiting.path in [folder.path for folder in pending(tmp_path)]


def test_damaged_results_are_a_tracking_error(tmp_path: Path) -> None:
    folder = make_audit(tmp_path)
    (folder.path / "metrics.json").write_text("[{}]", encoding="utf-8")
    with pytest.raises(TrackingError, match="damaged results"):
        log_audit(folder, default_uri(tmp_path), "assay")


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log_audit(make_audit(tmp_path), default_uri(tmp_path), "assay")
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "mlflow.db").is_file()


def test_no_audits_are_tracked_in_an_empty_store(output: Path) -> None:
    assert tracked_audits(default_uri(output)) == []


def test_a_store_that_is_not_there_is_said_and_not_made(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "misspelt"):
        for ask in (tracked_audits, aliased_runs):
            with pytest.raises(TrackingError, match="no store is there"):
                ask(default_uri(folder))
    assert list(tmp_path.iterdir()) == []
