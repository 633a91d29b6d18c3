"""The audits a dashboard can show: those in the output folder and those logged to MLflow, each once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness.api.metrics import Metric
from harness.errors import AssayError
from harness.gate.decide import Verdict
from harness.record.events import Event, read_events
from harness.record.folder import AuditFolder, AuditManifest, Status
from harness.tracking.fetch import TrackedAudit, fetch_audit


@dataclass(frozen=True, slots=True)
class Audit:
    """What one audit says of itself, read whole."""

    folder: Path
    manifest: AuditManifest
    metrics: tuple[Metric, ...]
    verdict: Verdict | None
    tracking: dict[str, str]
    events: tuple[Event, ...] = ()
    """Of one that is not finished: how far it is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An audit in the list: read from its folder, known from MLflow only, or damaged."""

    audit_id: str
    audit: Audit | None = None
    tracked: TrackedAudit | None = None
    damage: str = ""


def read_entry(folder: AuditFolder) -> Entry:
    """The audit in a folder; a damaged one carries its error."""
    try:
        audit = _read(folder)
    except (AssayError, ValueError, OSError) as error:
        return Entry(folder.path.name, damage=str(error).splitlines()[0])
    return Entry(audit.manifest.audit_id, audit)


def merge(local: Iterable[Entry], tracked: Iterable[TrackedAudit]) -> list[Entry]:
    """Every audit once, newest first; a readable folder wins over the run, a run over a damaged folder."""
    entries = {entry.audit_id: entry for entry in _each_once(local)}
    for run in tracked:
        known = entries.setdefault(run.audit_id, Entry(run.audit_id, tracked=run))
        if known.damage:
            entries[run.audit_id] = replace(known, tracked=run)
    return sorted(entries.values(), key=lambda entry: entry.audit_id, reverse=True)


def _each_once(local: Iterable[Entry]) -> Iterator[Entry]:
    """Of folders that say they hold one and the same audit the one of its name does; the others are named as copies."""
    found: dict[str, list[Entry]] = {}
    for entry in local:
        found.setdefault(entry.audit_id, []).append(entry)
    for audit_id, same in found.items():
        same.sort(key=lambda entry: entry.audit is not None and entry.audit.folder.name != audit_id)
        yield same[0]
        for entry in same[1:]:
            assert entry.audit is not None  # a damaged one goes by its folder's name, of which there is one
            name = entry.audit.folder.name
            yield Entry(name, damage=f"says that it is {audit_id}, which another folder holds; move one away")


def open_audit(entry: Entry, uri: str | None) -> Audit:
    """The audit of an entry, downloaded from MLflow where no folder holds it. Raises AssayError."""
    if entry.audit is not None:
        return entry.audit
    if entry.tracked is None or uri is None:
        raise AssayError(f"{entry.audit_id}: {entry.damage or 'nothing is known of this audit'}")
    try:
        return _read(fetch_audit(uri, entry.tracked))
    except (ValueError, OSError) as error:
        raise AssayError(f"{entry.audit_id}: its logged files are damaged ({str(error).splitlines()[0]})") from error


def _read(folder: AuditFolder) -> Audit:
    manifest = folder.manifest()
    events = () if manifest.status is Status.FINISHED else _events(folder)
    return Audit(folder.path, manifest, tuple(folder.metrics()), folder.verdict(), _tracking(folder), events)


def _events(folder: AuditFolder) -> tuple[Event, ...]:
    try:
        return tuple(read_events(folder.path))
    except AssayError:  # what is no file of events tells nothing; the audit is in its rows
        return ()


def _tracking(folder: AuditFolder) -> dict[str, str]:
    try:
        return folder.tracking()
    except (AssayError, ValueError):  # a damaged note costs the link to MLflow, not the audit
        return {}
