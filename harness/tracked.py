"""Audits read back from MLflow: a list of them, and one downloaded as an audit folder."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.artifacts import artifacts_of, download
from harness.files import make_folder
from harness.gate import Outcome
from harness.mlflow_session import TrackingError, mlflow_session
from harness.pypi import cache_home
from harness.record import MANIFEST, AuditFolder
from harness.stores import shown_uri
from harness.tracking import AUDIT_ID, LOGGED

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True, slots=True)
class TrackedAudit:
    """An audit as its MLflow run tells it; nothing is downloaded yet."""

    run_id: str
    audit_id: str
    name: str
    created: str
    """UTC, ISO 8601."""
    checkpoint: str
    status: str
    verdict: str
    """'' before it was decided."""
    reason: str
    gates: Mapping[str, int]
    """How many gates ended in each outcome."""
    logged: str
    """When it was last logged: changes whenever its artifacts may have."""


def tracked_audits(uri: str, limit: int = 500) -> list[TrackedAudit]:
    """The newest `limit` audits logged at `uri`, in any experiment, newest first. Raises TrackingError."""
    with mlflow_session(uri) as client:
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        if not experiments:
            return []
        runs = client.search_runs(
            experiments, f"tags.`{AUDIT_ID}` LIKE '%'", max_results=limit, order_by=["attributes.start_time DESC"]
        )
        return [_tracked(run) for run in runs]


def fetch_audit(uri: str, audit: TrackedAudit) -> AuditFolder:
    """The audit without its reports as a folder in the cache, downloaded once per logging. Raises TrackingError."""
    if not re.fullmatch(r"[\w\-]+", audit.run_id):  # it becomes a folder name
        raise TrackingError(f"{shown_uri(uri)}: refused a run with the id {audit.run_id[:60]!r}")
    home = make_folder(cache_home() / "tracked" / _short(uri))
    target = home / f"{audit.run_id}-{_short(audit.logged)}"
    if not target.is_dir():
        scratch = Path(tempfile.mkdtemp(dir=home))
        try:
            with mlflow_session(uri) as client:
                where = f"{shown_uri(uri)}: run {audit.run_id}"
                download(artifacts_of(client, uri, audit.run_id), scratch, where)
            if not (scratch / MANIFEST).is_file():
                raise TrackingError(
                    f"{shown_uri(uri)}: run {audit.run_id} holds no {MANIFEST}; it was not logged whole"
                )
            _move(scratch, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return AuditFolder(target)


def _tracked(run: Run) -> TrackedAudit:
    tags = run.data.tags
    return TrackedAudit(
        run_id=run.info.run_id,
        audit_id=tags[AUDIT_ID],
        name=run.info.run_name or "",
        created=datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(timespec="seconds"),
        checkpoint=tags.get("assay.checkpoint", ""),
        status=tags.get("assay.status", ""),
        verdict=tags.get("assay.verdict", ""),
        reason=tags.get("assay.verdict_reason", ""),
        gates={
            str(outcome): int(tags[key])
            for outcome in Outcome
            if tags.get(key := f"assay.gates.{outcome}", "").isdigit()
        },
        logged=tags.get(LOGGED, ""),
    )


def _move(scratch: Path, target: Path) -> None:
    try:
        scratch.rename(target)
    except OSError:  # another process was first with the same run
        if not target.is_dir():
            raise


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fetch_run(uri: str, run_id: str) -> AuditFolder:
    """The audit that an MLflow run logged. Raises TrackingError, naming the run, where it is none."""
    with mlflow_session(uri) as client:
        run = client.get_run(run_id)
    if AUDIT_ID not in run.data.tags:
        raise TrackingError(f"{shown_uri(uri)}: run {run_id} is no audit (it has no tag {AUDIT_ID})")
    return fetch_audit(uri, _tracked(run))


def run_of_alias(uri: str, ref: str) -> str:
    """Run id of the audit behind `[model]@alias` in the model registry; the model may be left out where one has it.

    A model version was registered from its audit's run, or names the audit by the tag `assay.audit_id`. Raises
    TrackingError where no model, or more than one, has the alias, or where its version has no audit.
    """
    name, _, alias = ref.partition("@")
    with mlflow_session(uri) as client:
        names = (
            [name] if name else [model.name for model in client.search_registered_models() if alias in model.aliases]
        )
        if len(names) != 1:
            which = f"models {', '.join(sorted(names))} all have it; say model@{alias}" if names else "no model has it"
            raise TrackingError(f"{shown_uri(uri)}: the alias @{alias} is not clear: {which}")
        version = client.get_model_version_by_alias(names[0], alias)
        if version.run_id and AUDIT_ID in client.get_run(version.run_id).data.tags:
            return str(version.run_id)
        audit = version.tags.get(AUDIT_ID)
        if audit is not None:
            quoted = audit.replace("'", "")
            experiments = [experiment.experiment_id for experiment in client.search_experiments()]
            runs = client.search_runs(experiments, f"tags.`{AUDIT_ID}` = '{quoted}'", max_results=1)
            if runs:
                return str(runs[0].info.run_id)
    raise TrackingError(
        f"{shown_uri(uri)}: version {version.version} of {names[0]} (@{alias}) names no audit; "
        f"set its tag {AUDIT_ID}, or give the audit's folder or run id"
    )
