"""Choosing an audit and a probe, kept in the page's address so that every view can be linked to."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from dashboards import cache
from dashboards.audits import Audit, Entry
from dashboards.settings import Settings
from dashboards.view_models.views import badge, plain
from harness.base import loglines
from harness.base.language import _, marked
from harness.errors import AssayError

_ASKED = {"audit": marked("Audit"), "probe": marked("Probe")}
FIRST_AUDIT = "assay run --checkpoint distilbert/distilbert-base-uncased-finetuned-sst-2-english --suite quality"


def choose(
    page: str, query: str, options: Sequence[str], shown: Callable[[str], str] = str, default: str | None = None
) -> str:
    """One of `options`, at first the one the address names under `query`, else `default` or the last on any page.

    The address follows the choice; another choice drops the case it names, which belonged to the former one.
    """
    key, last = f"{page}-{query}", f"last-{query}"  # by page: Streamlit resets a widget that another page had too
    named = st.query_params.get(query)
    if st.session_state.get(key) not in options:
        wanted = [name for name in (named, default or st.session_state.get(last)) if name in options]
        st.session_state[key] = wanted[0] if wanted else options[0]
    chosen = str(st.selectbox(_(_ASKED[query]), options, key=key, format_func=shown))
    st.session_state[last] = chosen
    if named != chosen:
        st.query_params[query] = chosen
        if named is not None:
            st.query_params.pop("case", None)
    return chosen


def choose_audit(page: str, settings: Settings, fits: Callable[[Audit], bool] | None = None) -> Audit | None:
    """The audit chosen on `page`; None, with the reason on the page, when there is none to show.

    Where nobody has named one it is the newest that `fits`, if any does, else the newest that can be read.
    """
    entries, problem = cache.entries(settings)
    if problem:
        st.warning(plain(problem), icon=":material/cloud_off:")
    if not entries:
        no_audits(settings)
        return None
    # what can be read first: a copy under a name of its own would otherwise stand before every audit, as the newest
    by_id = {entry.audit_id: entry for entry in sorted(entries, key=_damaged)}
    asked = st.query_params.get("audit")
    if asked is not None and asked not in by_id:
        st.warning(plain(_("No audit is called {name}; showing the newest one.", name=repr(asked[:80]))))
    default = _default(by_id, fits) if fits is not None and asked not in by_id else None
    chosen = choose(page, "audit", list(by_id), lambda audit_id: _label(by_id[audit_id]), default)
    try:
        return cache.audit(by_id[chosen], settings)
    except AssayError as error:
        st.error(plain(str(error)), icon=":material/broken_image:")
        return None


def _damaged(entry: Entry) -> bool:
    return entry.audit is None and entry.tracked is None


def _default(entries: Mapping[str, Entry], fits: Callable[[Audit], bool]) -> str | None:
    """The audit chosen last, where it fits, else the newest that does; of those in folders, as others are far away."""
    last = entries.get(st.session_state.get("last-audit", ""))
    wanted = [*([last] if last is not None else []), *entries.values()]
    return next((each.audit_id for each in wanted if each.audit is not None and fits(each.audit)), None)


def no_audits(settings: Settings) -> None:
    """Say how to come by a first audit."""
    st.info(plain(_("No audits in {folder} yet. Run a first one, then reload this page:", folder=settings.output)))
    st.code(f"{FIRST_AUDIT} --output {shlex.quote(str(settings.output))}", language=None, wrap_lines=True)


def _label(entry: Entry) -> str:
    name = loglines.plain(entry.audit_id)  # which must not turn the verdict around
    if entry.audit is not None:
        return f"{name} · {badge(entry.audit.verdict.outcome if entry.audit.verdict else '')}"
    return " · ".join((name, badge(entry.tracked.verdict) if entry.tracked else _("! damaged")))
