"""The audits a dashboard can show: those in the output folder and those logged to MLflow, each once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import AssayError
from harness.gate import Verdict
from harness.metrics import Metric
from harness.mlflow_session import TrackingError
from harness.record import AuditFolder, AuditManifest, audits_in
from harness.tracked import TrackedAudit, fetch_audit, tracked_audits


@dataclass(frozen=True, slots=True)
class Audit:
    """What one audit says of itself, read whole."""

    folder: Path
    manifest: AuditManifest
    metrics: tuple[Metric, ...]
    verdict: Verdict | None
    tracking: dict[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """An audit in the list: read from its folder, known from MLflow only, or damaged."""

    audit_id: str
    audit: Audit | None = None
    tracked: TrackedAudit | None = None
    damage: str = ""


def read_audit(folder: AuditFolder) -> Audit:
    """Manifest, metrics, verdict and tracking note. Raises AssayError, ValueError or OSError when one is damaged."""
    return Audit(
        folder.path, folder.manifest(), tuple(folder.metrics()), folder.verdict(), _tracking(folder)
    )


def list_audits(output: Path, uri: str | None) -> tuple[list[Entry], str]:
    """Every audit once, newest first (a folder wins over its run), and why MLflow could not be read ('' if it was)."""
    entries = {entry.audit_id: entry for entry in local_entries(audits_in(output))}
    problem = ""
    if uri is not None:
        try:
            for tracked in tracked_audits(uri):
                entries.setdefault(tracked.audit_id, Entry(tracked.audit_id, tracked=tracked))
        except TrackingError as error:
            problem = str(error)
    return sorted(entries.values(), key=lambda entry: entry.audit_id, reverse=True), problem


def local_entries(folders: Iterable[AuditFolder]) -> list[Entry]:
    """An entry per folder; a damaged one carries its error."""
    entries = []
    for folder in folders:
        try:
            audit = read_audit(folder)
            entries.append(Entry(audit.manifest.audit_id, audit))
        except (AssayError, ValueError, OSError) as error:
            entries.append(Entry(folder.path.name, damage=str(error).splitlines()[0]))
    return entries


def open_audit(entry: Entry, uri: str | None) -> Audit:
    """The audit of an entry, downloaded from MLflow where no folder holds it. Raises AssayError."""
    if entry.audit is not None:
        return entry.audit
    if entry.tracked is None or uri is None:
        raise AssayError(f"{entry.audit_id}: {entry.damage or 'nothing is known of this audit'}")
    try:
        return read_audit(fetch_audit(uri, entry.tracked))
    except (ValueError, OSError) as error:
        raise AssayError(f"{entry.audit_id}: its logged files are damaged ({str(error).splitlines()[0]})") from error


def _tracking(folder: AuditFolder) -> dict[str, Any]:
    try:
        return folder.tracking()
    except ValueError:  # a damaged note costs the link to MLflow, not the audit
        return {}
