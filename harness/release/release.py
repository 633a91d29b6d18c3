"""`assay release`: an audited checkpoint as a version in MLflow's model registry; an alias moves on pass only.

A version carries who released it, the verdict, the policy's digest and the checkpoint's fingerprint as tags, so that a
deployment can read why it may run. The same audit and name give one version, however often it is released.

The alias is compared and set: a policy that asks for a baseline is decided against the version the alias points to now,
and the alias moves only while it still points there. MLflow has no such operation, so releases of one alias take turns
by a tag on their versions.
"""

from __future__ import annotations

import getpass
import json
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.base.validation import validated
from harness.baseline.compare import Baseline, compare, find_baseline
from harness.baseline.judge import compared_with, judge, rows_lost
from harness.checkpoint import NOTHING, CheckpointSource, Permissions, inspect_checkpoint
from harness.errors import UsageError
from harness.gate.decide import Outcome, Policy, Verdict
from harness.gate.verdict import Absence, Compared
from harness.record.folder import AuditFolder, AuditManifest, Status
from harness.tracking.artifacts import artifacts_of
from harness.tracking.fetch import MOVED, NoBaselineYetError, alias_run, check_alias, fetch_run, registered_models
from harness.tracking.log import AUDIT_ID, gate_counts
from harness.tracking.session import TrackingError, mlflow_session

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

ARTIFACTS = "checkpoint"
"""Folder of the audit's run that the version points to."""
_WEIGHTLESS = ("optimizer", "training_args")
"""Parts of names of training's leftovers, which no release needs."""


_TURN = timedelta(minutes=15)
"""A release that holds its turn for longer has crashed: moving an alias takes seconds."""


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


def finished(folder: AuditFolder) -> AuditManifest:
    """The manifest of an audit that can be released. Raises UsageError where it is not finished."""
    manifest = folder.manifest()
    if manifest.status is not Status.FINISHED:
        raise UsageError(f"{folder.path}: the audit is {manifest.status}, not decided; run `assay resume` first")
    return manifest


def release_verdict(
    folder: AuditFolder, policy: Policy | None, uri: str, name: str, alias: str, baseline: str | None = None
) -> Verdict:
    """The verdict of today under `policy`, against the version that the alias points to now where the policy asks.

    Args:
        folder: a finished audit.
        policy: None: the one its newest verdict was given under.
        uri: MLflow store with the registry.
        name: of the registered model.
        alias: that would move.
        baseline: what a first release is compared with; later it must be the alias's own version.

    Raises:
        UsageError: the audit is not finished, or `baseline` is another audit than the alias's.
        TrackingError: the store is away, or the alias's version has no whole audit.
    """
    manifest = finished(folder)
    policy = policy if policy is not None else folder.policy()
    compared = None
    if policy is not None and any(gate.baseline is not None for gate in policy.gates):
        compared = _beside_current(folder, manifest, policy, uri, name, alias, baseline)
    return judge(policy, manifest, folder.metrics(), compared, rows_lost(folder, manifest))


def _beside_current(
    folder: AuditFolder, manifest: AuditManifest, policy: Policy, uri: str, name: str, alias: str, baseline: str | None
) -> Compared:
    """The audit beside the alias's version; beside another baseline only while the alias points nowhere."""
    ref = baseline or policy.baseline
    try:
        current = alias_run(uri, name, alias)
    except NoBaselineYetError as error:
        if not ref:
            return Compared(why_not=str(error), absence=Absence.NO_BASELINE_YET)
        return compared_with(ref, policy, folder, uri)
    against = Baseline(fetch_run(uri, current.run_id), f"{name}@{alias}", current.run_id, current.shown)
    found = against.folder.manifest().audit_id
    if baseline is not None and find_baseline(baseline, folder.path.parent, uri).folder.manifest().audit_id != found:
        raise UsageError(
            f"--baseline {baseline}: {name}@{alias} is version {current.version}, of the audit {found}; a release is "
            "compared with the version it replaces, so leave --baseline out"
        )
    if found == manifest.audit_id:  # beside itself it could prove nothing
        return Compared(why_not=f"{name}@{alias} points to this very audit")
    return compare(policy, folder, against)


def already_there(folder: AuditFolder, uri: str, name: str, alias: str) -> Release | None:
    """The release that the alias points to, where it is of this audit; None where it points elsewhere or nowhere."""
    audit = folder.manifest().audit_id
    with mlflow_session(uri) as client:
        models = {str(model.name): dict(model.aliases) for model in registered_models(client)}
        number = str(models.get(name, {}).get(alias, ""))
        if not number:
            return None
        tags = client.get_model_version(name, number).tags
    if tags.get(AUDIT_ID) != audit or tags.get("assay.verdict") not in set(Outcome):
        return None
    verdict = Verdict(outcome=Outcome(tags["assay.verdict"]), reason=tags.get("assay.verdict_reason", ""))
    return Release(name, number, alias, True, number, verdict)


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
        UsageError: where the checkpoint is not the one that was audited, or a name is none.
        TrackingError: where the store is away or refuses, or the alias is not where the verdict was decided against.
    """
    manifest = folder.manifest()
    check_alias(name, alias)
    source = _checked_source(folder, manifest, permissions)
    with mlflow_session(uri) as client:
        _check_run(client, run_id, manifest.audit_id)
        version = _find_version(client, name, manifest.audit_id)
        if version is None:
            version = _register(client, uri, name, run_id, source, manifest)
        elif version.run_id and version.run_id != run_id:
            _check_run(client, version.run_id, manifest.audit_id)
        previous = _alias_version(client, name, alias)
        number = str(version.version)
        for key, value in version_tags(manifest, verdict, by or _login()).items():
            client.set_model_version_tag(name, number, key, value)
        moved = verdict.outcome is Outcome.PASS
        if moved:
            with _turn(client, name, alias, number):
                previous = _alias_version(client, name, alias)
                _check_current(verdict, name, alias, previous, number)
                _move(client, name, alias, number)
                client.set_model_version_tag(name, number, f"{MOVED}{alias}", "yes")
    return Release(name, number, alias, moved, previous, verdict)


def _move(client: MlflowClient, name: str, alias: str, number: str) -> None:
    """Set the alias and read it back. Raises TrackingError where it does not point there afterwards."""
    client.set_registered_model_alias(name, alias, number)
    found = _alias_version(client, name, alias)
    if found != number:
        raise TrackingError(
            f"{name} version {number}: @{alias} was moved to version {found or 'none'} by somebody else"
        )


def _check_current(verdict: Verdict, name: str, alias: str, current: str, number: str) -> None:
    """Raises TrackingError unless the alias points where the verdict compared with, if it compared at all."""
    compares = any(result.gate.baseline is not None for result in verdict.gates)
    if not compares or current in ("", number):
        return
    against = verdict.baseline.version if verdict.baseline is not None else ""
    if against != f"{name} {current}":
        raise TrackingError(
            f"{name}@{alias} is version {current} now, and the verdict was decided against {against or 'none of it'}; "
            "release again, to compare with it"
        )


@contextmanager
def _turn(client: MlflowClient, name: str, alias: str, number: str) -> Iterator[None]:
    """One release of an alias at a time: each says that it is there before it looks for others, so two never go on.

    Both may give up; then the alias stays, and either can be tried again.
    """
    begins = f"assay.releasing.{alias}."
    key = f"{begins}{secrets.token_hex(4)}"  # of this release alone: the same audit may be released twice at once
    client.set_model_version_tag(name, number, key, datetime.now(UTC).isoformat(timespec="seconds"))
    try:
        others = [
            (str(version.version), since)
            for version in _versions(client, name)
            for tag, since in version.tags.items()
            if tag.startswith(begins) and tag != key and _is_fresh(since)
        ]
        for other, since in others:
            raise TrackingError(
                f"{name}@{alias}: version {other} is being released since {since}; release again when that is done"
            )
        yield
    finally:
        client.delete_model_version_tag(name, number, key)


def _is_fresh(moment: str) -> bool:
    try:
        return abs(datetime.now(UTC) - datetime.fromisoformat(moment)) < _TURN
    except (ValueError, TypeError):  # no moment of ours
        return False


def _check_run(client: MlflowClient, run_id: str, audit_id: str) -> None:
    """Raises TrackingError for a run that is deleted, not whole, or another audit's: no version may stand on it."""
    run = client.get_run(run_id)
    info = run.info
    if info.lifecycle_stage != "active" or info.status != "FINISHED":
        state = info.lifecycle_stage if info.lifecycle_stage != "active" else info.status
        raise TrackingError(f"run {run_id} is {state}; restore it, or log the audit again with `assay sync`")
    if run.data.tags.get(AUDIT_ID) != audit_id:
        raise TrackingError(f"run {run_id} is not of the audit {audit_id}; remove its tracking.json and log it again")


def version_tags(manifest: AuditManifest, verdict: Verdict, by: str) -> dict[str, str]:
    """What a version says of its audit."""
    return {
        AUDIT_ID: manifest.audit_id,
        "assay.verdict": str(verdict.outcome),
        "assay.verdict_reason": verdict.reason[:2000],
        "assay.policy": verdict.policy,
        "assay.policy_digest": verdict.policy_digest,
        "assay.compared_with": _compared_with(verdict),
        "assay.fingerprint": manifest.checkpoint.fingerprint,
        "assay.released_by": by,
        "assay.released_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **{f"assay.gates.{outcome}": str(count) for outcome, count in gate_counts(verdict).items()},
    }


def _compared_with(verdict: Verdict) -> str:
    """The version (or audit) that the verdict was decided against; 'none' without one."""
    baseline = verdict.baseline
    return "none" if baseline is None else baseline.version or baseline.audit_id


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
    """The oldest version of an audit."""
    found = [version for version in _versions(client, name) if version.tags.get(AUDIT_ID) == audit_id]
    return min(found, key=lambda version: int(version.version), default=None)


def _versions(client: MlflowClient, name: str) -> Iterator[ModelVersion]:
    """Every version of a model."""
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name = '{_quotable(name)}'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _register(
    client: MlflowClient, uri: str, name: str, run_id: str, source: CheckpointSource, manifest: AuditManifest
) -> ModelVersion:
    """A new version: the checkpoint's files where they are a local folder, else a note of where they are."""
    repository = artifacts_of(client, uri, run_id)
    _upload(repository, source, manifest)
    if not client.search_registered_models(f"name = '{_quotable(name)}'"):
        with _unless_there():
            client.create_registered_model(name, description="Released by Assay; versions say by which audit.")
    artifacts = f"{client.get_run(run_id).info.artifact_uri}/{ARTIFACTS}"  # as the registry knows it
    made = client.create_model_version(name, artifacts, run_id, tags={AUDIT_ID: manifest.audit_id})
    first = _find_version(client, name, manifest.audit_id) or made
    if first.version != made.version:  # the same audit, released twice at once
        client.delete_model_version(name, made.version)
    return first


@contextmanager
def _unless_there() -> Iterator[None]:
    """Making a model that another release has just made is no failure."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


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
