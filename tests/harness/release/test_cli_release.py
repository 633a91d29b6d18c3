"""`assay release` as a user runs it, against a real MLflow store (sqlite)."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from harness.base.stores import default_uri
from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.gate.decide import Outcome, Policy, decide
from harness.record.folder import AuditFolder, Status
from harness.tracking.session import mlflow_session
from tests.audit_folder import GATES, PASSING_GATES, make_audit
from tests.harness.cli.test_cli import call
from tests.tiny import make_checkpoint

NAMES = ["--name", "sentiment", "--alias", "production"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("model"), "bert", "classifier")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store; making its tables takes longer than any test."""
    home = tmp_path_factory.mktemp("store")
    with mlflow_session(default_uri(home)) as client:
        client.search_experiments()
    return home / "mlflow.db"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Path) -> Path:
    """A working folder with two policies and an empty store in `audits`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audits").mkdir()
    shutil.copy(store, tmp_path / "audits" / "mlflow.db")
    for name, gates in (("lax", PASSING_GATES), ("strict", GATES)):
        (tmp_path / f"{name}.yaml").write_text(policy(name, gates))
    return tmp_path


def policy(name: str, gates: list[dict[str, Any]]) -> str:
    return f"name: {name}\ngates:\n" + "".join(
        "  - {" + ", ".join(f"{key}: {value}" for key, value in gate.items()) + "}\n" for gate in gates
    )


def audited(
    home: Path, checkpoint: Path, audit_id: str, *, passes: bool, status: Status = Status.FINISHED, **spec: Any
) -> AuditFolder:
    """An audit of the checkpoint that was not logged yet."""
    folder = make_audit(home / "audits", audit_id, passes=passes, status=status, spec=spec)
    manifest = folder.manifest()
    found = inspect_checkpoint(CheckpointSource(source=str(checkpoint))).fingerprint.digest
    record = manifest.checkpoint.model_copy(update={"fingerprint": found})
    values = {**manifest.spec, "checkpoint": {"source": str(checkpoint)}}
    folder.write_manifest(manifest.model_copy(update={"checkpoint": record, "spec": values}))
    return folder


def alias_of(home: Path) -> str:
    with mlflow_session(default_uri(home / "audits")) as client:
        return str(client.get_registered_model("sentiment").aliases.get("production", ""))


def test_the_alias_moves_on_a_pass_and_the_exit_code_is_the_verdict(
    home: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = audited(home, checkpoint, "20260101T000000Z-a-1111", passes=True)
    code, out, err = call(monkeypatch, capsys, "release", first.path, *NAMES, "--by", "ann")
    assert code == 0, err
    assert "sentiment version 1 is 'production' now" in out
    assert (first.tracking()["state"], alias_of(home)) == ("logged", "1")

    second = audited(home, checkpoint, "20260102T000000Z-a-2222", passes=True)
    code, out, _ = call(monkeypatch, capsys, "release", "latest", *NAMES, "--policy", "strict.yaml")
    assert code == 1
    assert "'production' still points to version 1, since the verdict is block" in " ".join(out.split())
    run_id = second.tracking()["run_id"]
    code, out, _ = call(monkeypatch, capsys, "release", second.path.name, *NAMES, "--policy", "lax.yaml")
    assert (code, alias_of(home)) == (0, "2")
    assert "mlflow " not in out  # it is logged already
    assert second.tracking()["run_id"] == run_id
    with mlflow_session(default_uri(home / "audits")) as client:
        tags = client.get_model_version("sentiment", "1").tags
        assert (tags["assay.released_by"], tags["assay.verdict"]) == ("ann", "pass")
        assert client.get_model_version("sentiment", "2").tags["assay.policy"] == "lax"


def test_its_own_verdict_is_the_one_it_was_given(
    home: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    audited(home, checkpoint, "20260101T000000Z-a-1111", passes=False)
    code, out, _ = call(monkeypatch, capsys, "release", "latest", *NAMES)
    assert (code, alias_of(home)) == (1, "")
    assert "'production' points to no version, since the verdict is block" in " ".join(out.split())


def test_another_store_gets_the_audit_first(
    home: Path, checkpoint: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = audited(home, checkpoint, "20260101T000000Z-a-1111", passes=True, tracking={"uri": "off"})
    (home / "other").mkdir()
    shutil.copy(store, home / "other" / "mlflow.db")
    uri = default_uri(home / "other")
    code, _, err = call(monkeypatch, capsys, "release", "latest", *NAMES, "--tracking-uri", uri)
    assert code == 0, err
    assert folder.tracking()["uri"] == uri
    with mlflow_session(uri) as client:
        assert client.get_model_version_by_alias("sentiment", "production").run_id == folder.tracking()["run_id"]


def test_a_waiver_that_ran_out_since_holds_no_longer(
    home: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waiver = {"until": "2026-01-02", "by": "ann", "reason": "a known fault"}
    gates = [{"id": "robust", "metric": "adversarial/deepwordbug/attack_success", "max": 0.1, "waiver": waiver}]
    rules = {"name": "waived", "gates": gates}
    folder = audited(home, checkpoint, "20260101T000000Z-a-1111", passes=True, policy=rules)
    then = decide(Policy.model_validate(rules), folder.metrics(), today=date(2026, 1, 1))
    assert then.outcome is Outcome.PASS
    folder.write_verdict(then)
    code, out, _ = call(monkeypatch, capsys, "release", "latest", *NAMES)
    assert (code, alias_of(home)) == (1, "")
    assert "ended on 2026-01-02" in " ".join(out.split())
    assert call(monkeypatch, capsys, "release", "latest", *NAMES, "--policy", "lax.yaml")[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["nothing", *NAMES], 2, "not an audit"),
        (["latest", *NAMES, "--policy", "none.yaml"], 2, "none.yaml"),
        (["latest", *NAMES, "--tracking-uri", "off"], 2, "give --tracking-uri"),
        (["latest", *NAMES, "--tracking-uri", "http://127.0.0.1:9"], 4, "nothing listens there"),
        (["latest", "--name", "it's", "--alias", "production"], 4, "cannot name a registered model"),
        (["20260101T000000Z-a-0000", *NAMES], 2, "the audit is interrupted, not decided"),
        (
            ["20260101T000000Z-a-0000", *NAMES, "--policy", "lax.yaml"],
            2,
            "the audit is interrupted, not decided",
        ),
    ],
)
def test_what_cannot_be_released_is_one_sentence(
    home: Path,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    why: str,
) -> None:
    audited(home, checkpoint, "20260101T000000Z-a-0000", passes=True, status=Status.INTERRUPTED)
    audited(home, checkpoint, "20260101T000000Z-a-1111", passes=True)
    got, _, err = call(monkeypatch, capsys, "release", *words)
    assert (got, why in err, len(err.strip().splitlines())) == (code, True, 1), err
