"""`assay release`: an audited checkpoint as a version in MLflow's model registry; an alias moves on pass only.

A version carries who released it, the verdict, the policy's digest and the checkpoint's fingerprint as tags, so that a
deployment can read why it may run. The same audit and name give one version, however often it is released.
"""

from __future__ import annotations

import getpass
import json
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.artifacts import artifacts_of
from harness.checkpoint import NOTHING, CheckpointSource, Permissions, inspect_checkpoint
from harness.errors import UsageError
from harness.gate import Outcome, Verdict
from harness.mlflow_session import TrackingError, mlflow_session
from harness.record import AuditFolder, AuditManifest, Status
from harness.tracking import AUDIT_ID, gate_counts
from harness.validation import validated

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

ARTIFACTS = "checkpoint"
"""Folder of the audit's run that the version points to."""
_WEIGHTLESS = ("optimizer", "training_args")
"""Parts of names of training's leftovers, which no release needs."""


@dataclass(frozen=True, slots=True)
class Release:
    """What happened in the registry; `previous` is the version the alias pointed to before, '' for none."""

    name: str
    version: str
    alias: str
    moved: bool
    previous: str
    verdict: Verdict

    @property
    def sentence(self) -> str:
        """What happened, for the terminal."""
        where = f"{self.name} version {self.version}"
        if self.moved:
            before = f" (before: version {self.previous})" if self.previous and self.previous != self.version else ""
            return f"{where} is {self.alias!r} now{before}"
        stays = f"still points to version {self.previous}" if self.previous else "points to no version"
        return f"{where} is registered; {self.alias!r} {stays}, since the verdict is {self.verdict.outcome}"


def release(
    folder: AuditFolder,
    verdict: Verdict,
    uri: str,
    run_id: str,
    name: str,
    alias: str,
    *,
    by: str = "",
    permissions: Permissions = NOTHING,
) -> Release:
    """Register the checkpoint of a logged audit.

    Args:
        folder: a finished audit.
        verdict: on it; the alias moves on pass only.
        uri: MLflow store that has the audit's run.
        run_id: of that run.
        name: of the registered model, made when needed.
        alias: to move, for example `production`.
        by: who releases; the login name unless given.
        permissions: what the checkpoint may do while its fingerprint is taken again.

    Raises:
        UsageError: where the checkpoint is not the one that was audited.
        TrackingError: where the store is away or refuses.
    """
    manifest = folder.manifest()
    source = _checked_source(folder, manifest, permissions)
    with mlflow_session(uri) as client:
        version = _find_version(client, name, manifest.audit_id)
        if version is None:
            version = _register(client, uri, name, run_id, source, manifest)
        for key, value in version_tags(manifest, verdict, by or _login()).items():
            client.set_model_version_tag(name, version.version, key, value)
        previous = _alias_version(client, name, alias)
        moved = verdict.outcome is Outcome.PASS
        if moved:
            client.set_registered_model_alias(name, alias, version.version)
    return Release(name, str(version.version), alias, moved, previous, verdict)


def own_verdict(folder: AuditFolder) -> Verdict:
    """The verdict an audit was given, as long as it holds.

    Raises UsageError where the audit is not finished, or where a waiver that let a gate pass has run out since.
    """
    manifest, verdict = folder.manifest(), folder.verdict()
    if manifest.status is not Status.FINISHED or verdict is None:
        raise UsageError(f"{folder.path}: the audit is {manifest.status}, not decided; run `assay resume` first")
    today = datetime.now(UTC).date()
    for item in verdict.gates:
        waiver = item.gate.waiver
        if item.waived and waiver is not None and waiver.until < today:
            raise UsageError(
                f"{folder.path}: the waiver of {item.gate.id!r} ran out on {waiver.until}, after the audit was "
                "decided; decide again with --policy"
            )
    return verdict


def version_tags(manifest: AuditManifest, verdict: Verdict, by: str) -> dict[str, str]:
    """What a version says of its audit."""
    return {
        AUDIT_ID: manifest.audit_id,
        "assay.verdict": str(verdict.outcome),
        "assay.verdict_reason": verdict.reason[:2000],
        "assay.policy": verdict.policy,
        "assay.policy_digest": verdict.policy_digest,
        "assay.fingerprint": manifest.checkpoint.fingerprint,
        "assay.released_by": by,
        "assay.released_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **{f"assay.gates.{outcome}": str(count) for outcome, count in gate_counts(verdict).items()},
    }


def _checked_source(folder: AuditFolder, manifest: AuditManifest, permissions: Permissions) -> CheckpointSource:
    """The audited checkpoint's source, whose files must still be the audited ones."""
    source = validated(CheckpointSource, manifest.spec["checkpoint"], str(folder.manifest_path))
    found = inspect_checkpoint(source, permissions).fingerprint.digest
    if found != manifest.checkpoint.fingerprint:
        raise UsageError(
            f"{source.source}: the checkpoint has changed since {folder.path.name} audited it "
            f"(fingerprint {found[:12]}, audited {manifest.checkpoint.fingerprint[:12]}); audit it again, then release"
        )
    return source


def _find_version(client: MlflowClient, name: str, audit_id: str) -> ModelVersion | None:
    found = client.search_model_versions(f"name = '{_quotable(name)}' and tags.`{AUDIT_ID}` = '{audit_id}'")
    return found[0] if found else None


def _register(
    client: MlflowClient, uri: str, name: str, run_id: str, source: CheckpointSource, manifest: AuditManifest
) -> ModelVersion:
    """A new version: the checkpoint's files where they are a local folder, else a note of where they are."""
    repository = artifacts_of(client, uri, run_id)
    _upload(repository, source, manifest)
    if not client.search_registered_models(f"name = '{_quotable(name)}'"):
        client.create_registered_model(name, description="Released by Assay; versions say by which audit.")
    artifacts = f"{client.get_run(run_id).info.artifact_uri}/{ARTIFACTS}"  # as the registry knows it
    return client.create_model_version(name, artifacts, run_id, tags={AUDIT_ID: manifest.audit_id})


def _upload(repository: Any, source: CheckpointSource, manifest: AuditManifest) -> None:
    path = Path(source.source)
    if path.is_dir():
        for file in sorted(path.iterdir()):
            if file.is_file() and not any(part in file.name for part in _WEIGHTLESS):
                repository.log_artifact(str(file), ARTIFACTS)
        return
    with tempfile.TemporaryDirectory() as scratch:
        note = Path(scratch) / "checkpoint.json"
        where = {"source": source.model_dump(mode="json"), "fingerprint": manifest.checkpoint.fingerprint}
        note.write_text(json.dumps(where, indent=2) + "\n", encoding="utf-8")
        repository.log_artifact(str(note), ARTIFACTS)


def _alias_version(client: MlflowClient, name: str, alias: str) -> str:
    return str(client.get_registered_model(name).aliases.get(alias, ""))


def _quotable(name: str) -> str:
    if not name or "'" in name:
        raise TrackingError(f"{name!r} cannot name a registered model; use letters, digits, '-', '_', '.' or '/'")
    return name


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a user entry
        return "unknown"
