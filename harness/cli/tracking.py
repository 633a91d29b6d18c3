"""The command `assay sync`, and how the other commands log to MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.arguments import Home, Uri
from harness.console import fail, say
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.record import AuditFolder


def sync(output: Home = Path("audits"), tracking_uri: Uri = None) -> None:
    """Send audits (or, of a folder of checkpoints, trainings) to MLflow that could not be logged when they finished."""
    from harness.tracking import pending
    from privacy.training.track import pending_trainings

    audits, trainings = pending(output), pending_trainings(output)
    for folder in audits:
        log_audit(folder, tracking_uri, must=True)
    for trained in trainings:
        _send_training(trained, tracking_uri)
    sent = [f"{len(found)} {name}" for found, name in ((audits, "audits"), (trainings, "trainings")) if found]
    say(f"{' and '.join(sent)} sent" if sent else f"{output}: nothing waits to be sent")


def log_audit(folder: AuditFolder, uri: str | None, *, must: bool = False) -> None:
    """Log to MLflow; when the server is away, keep the audit for `assay sync` (or fail, when `must`)."""
    from harness.mlflow_session import shown_uri
    from harness.tracking import TrackingError, default_uri
    from harness.tracking import log_audit as send

    if uri == "off":
        return
    manifest = folder.manifest()
    target = uri or folder.tracking().get("uri") or manifest.spec["tracking"]["uri"] or default_uri(folder.path.parent)
    try:
        run_id = send(folder, target, manifest.spec["tracking"]["experiment"])
    except TrackingError as error:
        if must:
            raise
        folder.write_tracking({"uri": target, "state": "pending"})
        fail(f"{error}; the audit is kept, send it later with: assay sync --output {folder.path.parent}")
        return
    say(f"mlflow     {shown_uri(target)} run {run_id}")


def logged(folder: AuditFolder, uri: str | None) -> tuple[str, str]:
    """MLflow store and run id of an audit, which is logged first where it was not."""
    note = folder.tracking()
    if note.get("state") != "logged" or uri not in (None, note["uri"]):
        if (uri or note.get("uri") or folder.manifest().spec["tracking"]["uri"]) == "off":
            raise UsageError("a release is kept in MLflow's model registry, and tracking is off; give --tracking-uri")
        log_audit(folder, uri, must=True)
        note = folder.tracking()
    return note["uri"], note["run_id"]


def log_training(result: Any, uri: str | None) -> None:
    """Log to MLflow; when the server is away, keep the training for `assay sync`. One of several processes logs."""
    from harness.tracking import TrackingError
    from privacy.training.track import tracking_note

    if uri == "off":
        return
    if not result.trained and tracking_note(result.folder).get("state") == "logged":
        return
    try:
        _send_training(result.folder, uri)
    except TrackingError as error:
        fail(f"{error}; the checkpoint is kept, send its training with: assay sync --output {result.folder.parent}")


def _send_training(folder: Path, uri: str | None) -> None:
    from harness.mlflow_session import shown_uri
    from harness.tracking import default_uri
    from privacy.training.track import log_training as send
    from privacy.training.track import tracking_note

    note = tracking_note(folder)
    target = uri or note.get("uri") or default_uri(Path("audits"))
    run_id = send(folder, target, note.get("experiment", "assay"))
    say(f"mlflow     {shown_uri(target)} run {run_id}")
