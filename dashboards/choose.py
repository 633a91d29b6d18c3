"""Choosing an audit and a probe, kept in the page's address so that every view can be linked to."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

import streamlit as st

from dashboards import cache
from dashboards.audits import Audit, Entry
from dashboards.settings import Settings
from dashboards.views import badge, plain
from harness.errors import AssayError

FIRST_AUDIT = "assay run --checkpoint distilbert/distilbert-base-uncased-finetuned-sst-2-english --suite quality"


def choose(label: str, query: str, options: Sequence[str], shown: Callable[[str], str] = str) -> str:
    """One of `options`, at first the one the address names under `query`; the address follows the choice."""
    key = f"choose-{query}"
    if st.session_state.get(key) not in options:
        asked = st.query_params.get(query)
        st.session_state[key] = asked if asked in options else options[0]
    chosen = str(st.selectbox(label, options, key=key, format_func=shown))
    if st.query_params.get(query) != chosen:
        st.query_params[query] = chosen
    return chosen


def choose_audit(settings: Settings) -> Audit | None:
    """The chosen audit; None, with the reason on the page, when there is none to show."""
    entries, problem = cache.entries(settings)
    if problem:
        st.warning(plain(problem), icon=":material/cloud_off:")
    if not entries:
        no_audits(settings)
        return None
    by_id = {entry.audit_id: entry for entry in entries}
    asked = st.query_params.get("audit")
    if asked is not None and asked not in by_id:
        st.warning(plain(f"No audit is called {asked[:80]!r}; showing the newest one."))
    chosen = choose("Audit", "audit", list(by_id), lambda audit_id: _label(by_id[audit_id]))
    try:
        return cache.audit(by_id[chosen], settings)
    except AssayError as error:
        st.error(plain(str(error)), icon=":material/broken_image:")
        return None


def no_audits(settings: Settings) -> None:
    """Say how to come by a first audit."""
    st.info(plain(f"No audits in {settings.output} yet. Run a first one, then reload this page:"))
    st.code(f"{FIRST_AUDIT} --output {shlex.quote(str(settings.output))}", language="shell")


def _label(entry: Entry) -> str:
    if entry.audit is not None:
        return f"{entry.audit_id} · {badge(entry.audit.verdict.outcome if entry.audit.verdict else '')}"
    return f"{entry.audit_id} · {badge(entry.tracked.verdict) if entry.tracked else '! damaged'}"
