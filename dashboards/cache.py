"""What is kept between reruns of a page, each keyed by what would make it stale."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboards.audits import Audit, Entry, merge, open_audit, read_entry
from dashboards.row_table import PartKey, Rows, load_rows, parts_key
from dashboards.settings import Settings
from harness.api import columns
from harness.api.registry import find_probes
from harness.record.folder import AuditFolder, audits_in
from harness.tracking.fetch import TrackedAudit, tracked_audits
from harness.tracking.session import TrackingError

_FILES = ("manifest.json", "metrics.json", "verdict.json", "tracking.json", "events.jsonl")


def entries(settings: Settings) -> tuple[list[Entry], str]:
    """Every audit once, newest first, and why MLflow could not be read ('' if it was)."""
    local = [_entry(str(folder.path), _times(folder.path)) for folder in audits_in(settings.output)]
    tracked, problem = _tracked(settings.tracking_uri) if settings.tracking_uri else ([], "")
    return merge(local, tracked), problem


def audit(entry: Entry, settings: Settings) -> Audit:
    """The audit of an entry; from MLflow it is downloaded once. Raises AssayError."""
    with st.spinner("Reading the audit…"):
        return open_audit(entry, settings.tracking_uri)


def rows(folder: Path, probe: str) -> Rows:
    """Rows of a probe, read again when a part appears or changes."""
    return _rows(str(folder), probe, parts_key(folder, probe))


@st.cache_data(max_entries=64, show_spinner=False)
def meanings(probe: str) -> dict[str, str]:
    """What each column of a probe's rows means, with its unit; empty where its plug-in is not installed."""
    found = find_probes().probes.get(probe)
    return {} if found is None else columns.meanings(found.Row)


@st.cache_data(max_entries=5000, show_spinner=False)
def _entry(folder: str, times: tuple[int, ...]) -> Entry:
    return read_entry(AuditFolder(Path(folder)))


@st.cache_data(ttl=30, max_entries=4, show_spinner="Asking MLflow…")
def _tracked(uri: str) -> tuple[list[TrackedAudit], str]:
    try:
        return tracked_audits(uri), ""
    except TrackingError as error:  # remembered as well, or every click would wait for a server that is away
        return [], str(error)


@st.cache_resource(max_entries=4, show_spinner="Reading rows…")
def _rows(folder: str, probe: str, key: PartKey) -> Rows:
    return load_rows(Path(folder), probe)


def _times(folder: Path) -> tuple[int, ...]:
    """Change times of an audit's small files, 0 for an absent one."""
    paths = [folder / name for name in _FILES]
    return tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in paths)
