"""Page: what a training kept of its records, and what of its claim of privacy holds."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboards import cache, views
from dashboards.audits import Audit
from dashboards.choose import choose_audit
from dashboards.kinds import Shown, View, declaration, draw, fitting
from dashboards.memorization.drawn.canaries import Canaries
from dashboards.memorization.drawn.epsilon import PLANT, epsilons
from dashboards.memorization.drawn.exposure import Exposure
from dashboards.memorization.drawn.extraction import Extraction
from dashboards.memorization.drawn.frontier import frontiers
from dashboards.memorization.drawn.roc import Roc
from dashboards.memorization.drawn.spending import history
from dashboards.reveal import revealed
from dashboards.settings import read_settings
from harness.base.language import _
from harness.errors import AssayError
from harness.record.folder import Status

SECTIONS = (Exposure, Extraction, Roc, Canaries)


def show() -> None:
    """Draw the page."""
    settings = read_settings()
    audit = choose_audit("memorization", settings)
    if audit is None:
        return
    if audit.manifest.status is not Status.FINISHED:
        said = _("This audit is not finished ({status}): what is here so far.", status=audit.manifest.status)
        st.warning(views.plain(said))
    st.header(_("Claimed and audited epsilon"))
    epsilons(audit)
    fitted = [_section(kind(), audit, settings.output) for kind in SECTIONS]
    if not any(fitted):
        st.header(_("What it kept of its records"))
        st.info(
            _("No probe of this audit looked for canaries, members or texts. Plant canaries, then audit memorization:")
        )
        st.code(f"{PLANT}\nassay run --checkpoint checkpoints/private --suite memorization", language="shell")
    st.header(_("What privacy cost"))
    frontiers(audit, settings.output)
    st.header(_("What was spent"))
    history(audit)


def _section(view: View, audit: Audit, output: Path) -> bool:
    """Draw a view of every probe that it fits; whether there is one."""
    found = False
    for probe in audit.manifest.probes:
        try:
            rows = cache.rows(audit.folder, probe.name)
            declared = declaration(audit, probe.name, rows.types(), None)  # of columns alone: no plug-in is imported
            if not rows.total or not fitting([view], declared)[0]:
                continue
        except AssayError as error:
            if probe.name.startswith("memorization/"):
                st.error(views.plain(f"{probe.name}: {error}"), icon=":material/broken_image:")
            continue
        if not found:
            st.header(view.title)
        found = True
        st.subheader(views.plain(probe.name))
        for damage in rows.damaged:
            st.error(views.plain(_("A part of these rows is damaged and left out. {why}", why=damage)))
        readable = isinstance(view, Canaries) and revealed(
            output, audit.manifest.audit_id, probe.name, key=f"reveal-{probe.name}"
        )
        key = cache.rows_key(audit.folder, probe.name)
        draw(view, Shown(audit, declared, rows, readable, st.query_params, key))
    return found


show()
