"""What is kept between reruns of a page, each keyed by what would make it stale."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import streamlit as st

from dashboards.audits import Audit, Entry, merge, open_audit
from dashboards.index import Index, Stamp, stamp_of
from dashboards.kinds import FoundViews, find_views
from dashboards.rows import PartKey, RowFilter, Rows, column_names, open_rows, parts_key
from dashboards.settings import Settings
from dashboards.view_models import comparison
from dashboards.view_models.attacks import attacked
from dashboards.view_models.views import as_report
from harness.api import columns
from harness.api.registry import ProbeClass, find_probes
from harness.base.language import _, language
from harness.gate.verdict import Comparison
from harness.reports import disclosed_input, find_writers, render_again
from harness.reports.content.api import Level, Writer
from harness.tracking.fetch import TrackedAudit, aliased_runs, tracked_audits
from harness.tracking.session import TrackingError

_INDEX = Index()


def entries(settings: Settings) -> tuple[list[Entry], str]:
    """Every audit once, newest first, and why MLflow could not be read ('' if it was)."""
    local = _INDEX.entries(settings.output)
    if settings.tracking_uri is None:
        return merge(local, []), ""
    with st.spinner(_("Asking MLflow…")):
        tracked, problem = _tracked(settings.tracking_uri)
    return merge(local, tracked), problem


def warm(settings: Settings) -> None:
    """Read the audits of the folder and find plug-ins, so that no visitor waits for it."""
    _INDEX.entries(settings.output)
    for find in (writers, views, probes):
        find()


def open_newest(settings: Settings) -> None:
    """Open the rows that most visitors look at first: of a million, that takes longer than to draw their page."""
    audits = (entry.audit for entry in _INDEX.entries(settings.output))
    audit = next((audit for audit in audits if audit is not None), None)
    if audit is not None and audit.manifest.probes:
        _rows(*rows_key(audit.folder, audit.manifest.probes[0].name)).private()


def aliases(settings: Settings) -> dict[str, list[str]]:
    """MLflow run -> the registry's aliases for it; none where there is no store or it is away, which the list says."""
    if settings.tracking_uri is None:
        return {}
    with st.spinner(_("Asking MLflow…")):
        return _aliases(settings.tracking_uri)


def audit(entry: Entry, settings: Settings) -> Audit:
    """The audit of an entry; from MLflow it is downloaded once. Raises AssayError."""
    if entry.audit is not None:
        return entry.audit
    with st.spinner(_("Reading the audit…")):
        return open_audit(entry, settings.tracking_uri)


def rows(folder: Path, probe: str) -> Rows:
    """Rows of a probe, read again when a part appears or changes."""
    with st.spinner(_("Reading rows…")):
        return _rows(str(folder), probe, parts_key(folder, probe))


def rows_key(folder: Path, probe: str) -> tuple[str, str, PartKey]:
    """What is kept of a probe's rows between two runs of a page is kept under this: it changes when they do."""
    return str(folder), probe, parts_key(folder, probe)


def row_count(folder: Path, probe: str, wanted: RowFilter) -> int:
    """How many rows a filter leaves: asked once, not with every page."""
    with st.spinner(_("Counting rows…")):
        return _row_count(str(folder), probe, parts_key(folder, probe), repr(wanted), wanted)


def is_attack(folder: Path, probe: str) -> bool:
    """Whether rows hold texts before and after an attack; nothing but the names of their columns is read."""
    return _is_attack(str(folder), probe, parts_key(folder, probe))


def compared(candidate: Audit, base: Audit) -> list[Comparison]:
    """Every shared metric of two audits, paired by case. Raises UsageError where they measured other data."""
    stamps = (_stamp_with_rows(candidate), _stamp_with_rows(base))
    with st.spinner(_("Comparing…")):
        return _compared(str(candidate.folder), str(base.folder), stamps, candidate, base)


def report(audit: Audit, format: str, level: Level) -> bytes:
    """The report in a format at a level of disclosure. Raises AssayError where the format fails."""
    with st.spinner(_("Writing the report…")):
        return _report(str(audit.folder), _stamp_with_rows(audit), format, level, language(), audit)


def _stamp_with_rows(audit: Audit) -> tuple[Stamp, tuple[PartKey, ...]]:
    """What changes when an audit or any of its rows do: a text that was removed must not be told again."""
    parts = tuple(parts_key(audit.folder, probe.name) for probe in audit.manifest.probes)
    return stamp_of(audit.folder), parts


@st.cache_resource(show_spinner=False)
def writers() -> dict[str, Writer]:
    """Report formats by name."""
    found, _broken = find_writers()
    return {writer.name: writer for writer in found}


@st.cache_resource(show_spinner="Looking for views…")
def views() -> FoundViews:
    """Every view, found once."""
    return find_views()


@st.cache_resource(show_spinner="Looking for probes…")
def probes() -> dict[str, ProbeClass]:
    """Every installed probe by name, found once."""
    return dict(find_probes().probes)


@st.cache_data(max_entries=64, show_spinner=False)
def meanings(probe: str) -> dict[str, str]:
    """What each column of a probe's rows means, with its unit; empty where its plug-in is not installed."""
    found = probes().get(probe)
    return {} if found is None else columns.meanings(found.Row)


@st.cache_data(ttl=30, max_entries=4, show_spinner=False)
def _tracked(uri: str) -> tuple[list[TrackedAudit], str]:
    try:
        return tracked_audits(uri), ""
    except TrackingError as error:  # remembered as well, or every click would wait for a server that is away
        return [], str(error)


@st.cache_data(ttl=30, max_entries=4, show_spinner=False)
def _aliases(uri: str) -> dict[str, list[str]]:
    try:
        return aliased_runs(uri)
    except TrackingError:
        return {}


@st.cache_resource(max_entries=4, show_spinner=False)
def _rows(folder: str, probe: str, key: PartKey) -> Rows:
    return open_rows(Path(folder), probe)


@st.cache_data(max_entries=1024, show_spinner=False)
def _is_attack(folder: str, probe: str, key: PartKey) -> bool:
    return attacked(column_names(Path(folder), probe))


@st.cache_data(max_entries=256, show_spinner=False)
def _row_count(folder: str, probe: str, key: PartKey, asked: str, _wanted: RowFilter) -> int:
    return _rows(folder, probe, key).count(_wanted)


@st.cache_data(max_entries=64, show_spinner=False)
def _compared(candidate: str, base: str, stamps: object, _candidate: Audit, _base: Audit) -> list[Comparison]:
    return comparison.compared(_candidate, _base)


@st.cache_data(max_entries=16, show_spinner=False)
def _report(folder: str, stamps: object, format: str, level: Level, language: str, _audit: Audit) -> bytes:
    verdict = as_report(_audit).verdict
    said = replace(disclosed_input(_audit.folder, _audit.manifest, _audit.metrics, verdict, level), language=language)
    with tempfile.TemporaryDirectory(prefix="assay-report-") as scratch:
        return render_again(said, [format], Path(scratch))[format].read_bytes()
