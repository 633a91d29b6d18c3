"""The drawer beside an audit: by what it can be checked and repeated, without leaving the place one reads at."""

from __future__ import annotations

import streamlit as st

from dashboards.audits import Audit
from dashboards.view_models import views
from harness.base.language import _

PANEL = "panel"
"""In an address, `?panel=provenance`: the drawer is open."""
PROVENANCE = "provenance"
KEY = "p"
_WIDTH = 640


def provenance_drawer(audit: Audit) -> None:
    """The button that opens the drawer, by KEY too, and the drawer where the address asks for it; Esc closes it."""
    label, help = _("Provenance"), _("Digests, versions and the command that repeats it")
    if st.button(label, icon=":material/fingerprint:", shortcut=KEY, help=help, key="open-provenance"):
        st.query_params[PANEL] = PROVENANCE
    if st.query_params.get(PANEL) == PROVENANCE:
        drawn = st.dialog(label, width=_WIDTH, position="right", icon=":material/fingerprint:", on_dismiss=_closed)
        drawn(_provenance)(audit)


def _provenance(audit: Audit) -> None:
    st.markdown(f"**{views.plain(audit.manifest.name)}**")
    st.text(_("To run it again:"))
    st.code(audit.manifest.command or "assay run spec.yaml", language=None, wrap_lines=True)
    st.table(views.markdown_table((_("what"), _("value")), views.provenance(audit)), border="horizontal")
    st.text(_("Its spec:"))
    st.json(audit.manifest.spec, expanded=1)


def _closed() -> None:
    st.query_params.pop(PANEL, None)
