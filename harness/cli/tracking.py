"""The command `assay sync`, and how the other commands log to MLflow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from harness.api.commands import OUTBOXES
from harness.base.plugins import having, installed
from harness.cli.arguments import Home, Uri
from harness.cli.console import fail, say
from harness.errors import AssayError, Exit, UsageError

if TYPE_CHECKING:
    from harness.record.folder import AuditFolder


def sync(output: Home = Path("audits"), tracking_uri: Uri = None) -> None:
    """Send audits (or, of a folder of checkpoints, trainings) to MLflow that could not be logged when they finished."""
    boxes = installed(OUTBOXES, having("pending", "send"))
    sent: dict[str, int] = {}
    left = 0
    for name, box in {"audits": _Audits(), **boxes.plugins}.items():
        waiting = box.pending(output)
        sent[name] = sum(_sent(each, partial(box.send, each, tracking_uri)) for each in waiting)
        left += len(waiting) - sent[name]
    done = " and ".join(f"{count} {name}" for name, count in sent.items() if count)
    if boxes.errors:
        fail(f"what else waits is unknown, a plug-in did not load{boxes.broken}")
    if left:
        fail(f"{left} of {left + sum(sent.values())} could not be sent; they wait in {output}")
    if left or boxes.errors:
        say(f"{done or 'nothing'} sent")
        raise typer.Exit(Exit.FAILED)
    say(f"{done} sent" if done else f"{output}: nothing waits to be sent")


class _Audits:
    """Audits whose MLflow was away."""

    def pending(self, home: Path) -> list[Path]:
        from harness.tracking.log import pending

        return [folder.path for folder in pending(home)]

    def send(self, folder: Path, uri: str | None) -> None:
        from harness.record.folder import AuditFolder

        log_audit(AuditFolder(folder), uri, must=True)


def _sent(path: Path, send: Callable[[], None]) -> bool:
    """Whether one could be sent; one that cannot must not keep the others here."""
    try:
        send()
    except (AssayError, ValueError, OSError) as error:  # a damaged note, a store that is away, a folder that is gone
        fail(f"{path.name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
        return False
    return True


def log_audit(folder: AuditFolder, uri: str | None, *, must: bool = False) -> None:
    """Log to MLflow; when the server is away, keep the audit for `assay sync` (or fail, when `must`)."""
    from harness.base.stores import default_uri, shown_uri, store_beside
    from harness.tracking.log import TrackingError
    from harness.tracking.log import log_audit as send

    if uri == "off":
        return
    manifest = folder.manifest()
    named = manifest.spec["tracking"]["uri"]
    there = named and store_beside(named, folder.path)
    target = uri or folder.tracking().get("uri") or there or default_uri(folder.path.parent)
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
    """MLflow store and run id of an audit, which is logged first where it was not, or where its run is gone."""
    from harness.tracking.fetch import is_logged

    note = folder.tracking()
    there = (
        note.get("state") == "logged"
        and uri in (None, note["uri"])
        and is_logged(note["uri"], note["run_id"], folder.manifest().audit_id)
    )
    if not there:
        if (uri or note.get("uri") or folder.manifest().spec["tracking"]["uri"]) == "off":
            raise UsageError("a release is kept in MLflow's model registry, and tracking is off; give --tracking-uri")
        log_audit(folder, uri, must=True)
        note = folder.tracking()
    return note["uri"], note["run_id"]
