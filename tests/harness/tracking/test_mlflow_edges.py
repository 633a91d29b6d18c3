"""Logging goes on past what one store, one key or one audit refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest
import typer

from harness.api.metrics import Metric
from harness.audit.spec import AuditSpec
from harness.base.files import make_folder, write_text
from harness.base.stores import default_uri
from harness.cli.tracking import sync
from harness.errors import Exit, UsageError
from harness.record.folder import AuditManifest
from harness.tracking.log import log_audit, metric_values, pending
from harness.tracking.runs import NOT_LOGGED, distinct_keys, log_entries, safe
from harness.tracking.session import mlflow_session
from tests.audit_folder import make_audit

SLICES = ("../../x", "a//b", "/", "..", ".", "x" * 400, "x" * 400 + "y", "a?", "a!", "日本" * 200, "a/b", "a:b", " ")


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sqlite store without experiments of ours: making its tables takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    with mlflow_session(default_uri(folder)) as client:
        client.search_experiments()
    return (folder / "mlflow.db").read_bytes()


@pytest.fixture
def home(empty_store: bytes, tmp_path: Path) -> Path:
    """A folder of audits with an empty store."""
    (tmp_path / "mlflow.db").write_bytes(empty_store)
    return tmp_path


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def with_slices(folder: Any) -> list[Metric]:
    """The audit's metrics, the first of them also for slices with names that are no keys."""
    metrics: list[Metric] = folder.metrics()
    more = [metrics[0].model_copy(update={"slice": name, "headline": True, "value": 0.5}) for name in SLICES]
    return [*metrics, *more]


def test_names_that_are_no_keys_cost_no_other_and_stay_distinct(home: Path) -> None:
    folder = make_audit(home)
    before = metric_values(folder.metrics())
    metrics = with_slices(folder)
    folder.write_metrics(metrics)
    uri = default_uri(home)
    with mlflow_session(uri) as client:
        run = client.get_run(log_audit(folder, uri, "assay"))
    assert run.data.metrics.keys() >= before.keys()
    assert len(run.data.metrics) == len(metric_values(metrics))
    assert len(metric_values(metrics)) - len(before) == len(SLICES) * len({"", "/low", "/high", "/n"})
    assert NOT_LOGGED not in run.data.tags


@pytest.mark.parametrize("name", [*SLICES, "", "a/../b", "é/\ud800", "a\nb", "a\0b"])
def test_a_key_is_one_that_mlflow_takes(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    key = safe(f"quality/x/{name}")
    _validate_metric_name(key)
    assert len(key) <= 250
    assert safe(key) == key


def test_two_names_are_two_keys() -> None:
    names = ["a?", "a!", "a_", "x" * 300, "x" * 301]
    keys = distinct_keys(names)
    assert len(set(keys.values())) == len(names)
    assert keys["a?"] == "a_"
    assert distinct_keys(names) == keys


class PickyClient:
    """Refuses some keys, as a server of another version may."""

    def __init__(self) -> None:
        self.logged: list[str] = []
        self.tags: dict[str, str] = {}

    def log_batch(self, _run: str, synchronous: bool, **entries: Any) -> None:
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

        (batch,) = entries.values()
        if any("bad" in each.key for each in batch):
            raise MlflowException("no", error_code=INVALID_PARAMETER_VALUE)
        self.logged += [each.key for each in batch]

    def set_tag(self, _run: str, key: str, value: str) -> None:
        self.tags[key] = value


def test_what_a_store_refuses_is_named_and_the_rest_is_logged() -> None:
    from mlflow.entities import Metric as Entry

    class Run:
        class info:  # noqa: N801  as MLflow names it
            run_id = "r"

        class data:  # noqa: N801
            params: dict[str, str] = {}  # noqa: RUF012

    client: Any = PickyClient()
    run: Any = Run()
    entries = [Entry(name, 1.0, 0, 0) for name in ("a", "bad", "c")]
    log_entries(client, run, {"p": "1", "bad.p": "2"}, {"t": "1"}, entries)
    assert client.logged == ["t", "p", "a", "c"]
    assert client.tags == {NOT_LOGGED: "bad.p, bad"}


def test_long_params_arrive_whole(home: Path) -> None:
    folder = make_audit(home, spec={"checkpoint": {"source": "日" * 5900}})
    uri = default_uri(home)
    with mlflow_session(uri) as client:
        run = client.get_run(log_audit(folder, uri, "assay"))
    assert run.data.params["checkpoint.source"] == "日" * 5900


def test_sync_goes_on_past_what_cannot_be_sent(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = [make_audit(home, name).path for name in ("1-bad", "3-bad")]
    good = [make_audit(home, name) for name in ("0-good", "2-good", "4-good")]
    (bad[0] / "metrics.json").write_text("[{}]", encoding="utf-8")
    (bad[1] / "verdict.json").write_text("{", encoding="utf-8")
    with pytest.raises(typer.Exit) as ended:
        sync(home)
    assert ended.value.exit_code == Exit.FAILED
    assert [folder.tracking()["state"] for folder in good] == ["logged"] * 3
    assert sorted(folder.path.name for folder in pending(home)) == ["1-bad", "3-bad"]
    said = capsys.readouterr()
    assert "1-bad" in said.err
    assert "3-bad" in said.err
    assert "2 of 5 could not be sent" in " ".join(said.err.split())
    assert "3 audits sent" in said.out


def test_two_audits_that_start_on_a_fresh_store_are_both_logged(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.tracking.session import mlflow_session\n"
        "import alembic.command, mlflow.store.tracking.sqlalchemy_store, mlflow.store.model_registry.sqlalchemy_store\n"
        "print('ready', flush=True)\nsys.stdin.readline()\n"
        f"uri = 'sqlite:///{tmp_path / 'mlflow.db'}'\n"
        "with mlflow_session(uri) as client:\n    client.search_experiments()\n"
    )
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for each in starts:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in starts:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    ends = [each.communicate() for each in starts]
    assert [each.returncode for each in starts] == [0, 0, 0], [err for _, err in ends]
    with closing(connect(tmp_path / "mlflow.db")) as database:
        assert database.execute("select count(*) from experiments").fetchone() == (1,)
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    assert mode(tmp_path / "mlflow.db") == 0o600


def test_folders_of_audits_are_the_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        made = make_folder(tmp_path / "a" / "b" / "c")
        shared = make_folder(tmp_path / "d" / "e", shared=True)
        write_text(tmp_path / "note", "x", private=True)
        folder = make_audit(make_folder(tmp_path / "home" / "audits"))
        log_audit(folder, default_uri(tmp_path), "assay")
    finally:
        os.umask(before)
    assert [mode(path) for path in (made, made.parent, made.parent.parent)] == [0o700] * 3
    assert [mode(path) for path in (shared, shared.parent)] == [0o755] * 2
    assert mode(tmp_path / "note") == 0o600
    assert mode(tmp_path / "home") == 0o700
    assert (mode(tmp_path / "mlartifacts"), mode(tmp_path / "mlflow.db")) == (0o700, 0o600)
    tmp_path.chmod(0o755)
    assert mode(make_folder(tmp_path)) == 0o755  # what exists is the user's


def test_a_secret_of_an_early_version_is_in_no_record_that_is_read(tmp_path: Path) -> None:
    folder = make_audit(tmp_path)
    folder.write_tracking({"uri": "http://user:hunter2@host", "state": "pending"})
    manifest = folder.manifest().model_dump(mode="json")
    manifest["spec"]["tracking"] = {"uri": "http://user:hunter2@host", "experiment": "assay"}
    manifest["command"] = "assay run --tracking-uri http://user:hunter2@host"
    assert "hunter2" not in AuditManifest.model_validate(manifest).model_dump_json()
    assert folder.tracking()["uri"] == "http://host"
    assert AuditManifest.model_validate(manifest).command == "assay run --tracking-uri http://host"


def test_a_spec_may_hold_no_secret() -> None:
    values = {"checkpoint": "x", "tracking": {"uri": "http://user:hunter2@host"}}
    with pytest.raises(UsageError, match=r"tracking\.uri: http://host: ") as caught:
        AuditSpec.model_validate(values)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("command", ["run", "gate", "release", "sync", "train", "dashboard"])
def test_no_command_takes_a_secret(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.cli import main

    needed = {
        "gate": ["x", "--policy", "p.yaml"],
        "release": ["x", "--name", "n", "--alias", "a"],
        "train": ["t.yaml"],
    }
    monkeypatch.chdir(tmp_path)
    words = ["assay", command, *needed.get(command, []), "--tracking-uri", "http://user:hunter2@host"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == Exit.USAGE
    assert "MLFLOW_TRACKING_USERNAME" in " ".join(said.err.split())
    assert "hunter2" not in said.err + said.out
    assert not list(tmp_path.iterdir())


def test_the_environments_store_is_used_and_its_secret_refused_before_any_work(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.cli import main

    monkeypatch.chdir(home)
    (home / "mlflow.db").rename(home / "named.db")
    store = f"sqlite:///{home / 'named.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    folder = make_audit(home / "audits")
    monkeypatch.setattr("sys.argv", ["assay", "sync"])
    with suppress(SystemExit):
        main()
    assert folder.tracking()["uri"] == store
    assert not (home / "audits" / "mlflow.db").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:hunter2@host")
    monkeypatch.setattr("sys.argv", ["assay", "run", "--checkpoint", "nowhere"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == Exit.USAGE
    assert "MLFLOW_TRACKING_URI: http://host: " in " ".join(said.split())
    assert "hunter2" not in said
