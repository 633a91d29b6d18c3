"""`assay release` against a real MLflow store (sqlite)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.base.stores import default_uri
from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.errors import UsageError
from harness.gate.decide import Outcome, Policy, Verdict, decide
from harness.record.folder import AuditFolder
from harness.release.release import release
from harness.tracking.log import log_audit
from harness.tracking.session import TrackingError, mlflow_session
from tests.audit_folder import GATES, PASSING_GATES, make_audit
from tests.tiny import make_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("model"), "bert", "classifier")


def audited(output: Path, checkpoint: Path, audit_id: str) -> tuple[AuditFolder, str]:
    """A finished, logged audit of the checkpoint."""
    folder = make_audit(output / audit_id)
    manifest = folder.manifest()
    record = manifest.checkpoint.model_copy(
        update={"fingerprint": inspect_checkpoint(CheckpointSource(source=str(checkpoint))).fingerprint.digest}
    )
    spec = {**manifest.spec, "checkpoint": {"source": str(checkpoint)}}
    folder.write_manifest(manifest.model_copy(update={"checkpoint": record, "spec": spec, "audit_id": audit_id}))
    return folder, log_audit(folder, default_uri(output), "assay")


def verdict_of(folder: AuditFolder, gates: list[dict[str, Any]]) -> Verdict:
    return decide(Policy.model_validate({"name": "release", "gates": gates}), folder.metrics())


def registry(output: Path, alias: str = "production") -> tuple[Any, Any]:
    with mlflow_session(default_uri(output)) as client:
        model = client.get_registered_model("sentiment")
        versions = {one.version: one for one in client.search_model_versions("name = 'sentiment'")}
        return model.aliases.get(alias), versions


def test_the_alias_moves_on_pass_only(tmp_path: Path, checkpoint: Path) -> None:
    uri = default_uri(tmp_path)
    first, first_run = audited(tmp_path, checkpoint, "a1")
    good, bad = verdict_of(first, PASSING_GATES), verdict_of(first, GATES)
    assert (good.outcome, bad.outcome) == (Outcome.PASS, Outcome.BLOCK)

    blocked = release(first, bad, uri, first_run, "sentiment", "production", by="ann")
    assert (blocked.version, blocked.moved, blocked.previous) == ("1", False, "")
    assert blocked.sentence == (
        "sentiment version 1 is registered; 'production' points to no version, since the verdict is block"
    )
    assert registry(tmp_path)[0] is None

    passed = release(first, good, uri, first_run, "sentiment", "production", by="ann")
    assert (passed.version, passed.moved) == ("1", True)  # the same audit: the same version
    alias, versions = registry(tmp_path)
    assert (str(alias), len(versions)) == ("1", 1)
    tags = next(iter(versions.values())).tags
    assert (tags["assay.verdict"], tags["assay.released_by"]) == ("pass", "ann")
    assert tags["assay.policy_digest"] == good.policy_digest
    assert tags["assay.gates.pass"] == "2"

    second, second_run = audited(tmp_path, checkpoint, "a2")
    again = release(second, bad, uri, second_run, "sentiment", "production")
    assert (again.version, again.moved, again.previous) == ("2", False, "1")
    assert "still points to version 1" in again.sentence
    assert str(registry(tmp_path)[0]) == "1"
    moved = release(second, good, uri, second_run, "sentiment", "production")
    assert moved.sentence == "sentiment version 2 is 'production' now (before: version 1)"
    assert str(registry(tmp_path)[0]) == "2"


def test_a_version_holds_the_checkpoints_files(tmp_path: Path, checkpoint: Path) -> None:
    folder, run = audited(tmp_path, checkpoint, "a1")
    release(folder, verdict_of(folder, PASSING_GATES), default_uri(tmp_path), run, "sentiment", "production")
    with mlflow_session(default_uri(tmp_path)) as client:
        names = {Path(item.path).name for item in client.list_artifacts(run, "checkpoint")}
        copy = Path(client.download_artifacts(run, "checkpoint", str(tmp_path)))
    assert {"config.json", "model.safetensors"} <= names
    found = inspect_checkpoint(CheckpointSource(source=str(copy))).fingerprint.digest
    assert found == folder.manifest().checkpoint.fingerprint


def test_a_checkpoint_that_changed_since_is_refused(tmp_path: Path) -> None:
    mine = make_checkpoint(tmp_path / "model", "bert", "classifier")
    folder, run = audited(tmp_path, mine, "a1")
    config = json.loads((mine / "config.json").read_text())
    (mine / "config.json").write_text(json.dumps({**config, "hidden_dropout_prob": 0.5}))
    with pytest.raises(UsageError, match=r"has changed since .* audited it .* audit it again, then release"):
        release(folder, verdict_of(folder, PASSING_GATES), default_uri(tmp_path), run, "sentiment", "production")


def test_a_name_that_cannot_be_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    folder, run = audited(tmp_path, checkpoint, "a1")
    with pytest.raises(TrackingError, match="cannot name a registered model"):
        release(folder, verdict_of(folder, PASSING_GATES), default_uri(tmp_path), run, "it's", "production")
