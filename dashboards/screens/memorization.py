"""Page: what a training kept of its records, and what of its claim of privacy holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import streamlit as st

from dashboards import cache
from dashboards.audits import Audit
from dashboards.folder_key import folder_key
from dashboards.kinds import Declaration, Shown, View, declaration, draw
from dashboards.memorization.drawn.canaries import Canaries
from dashboards.memorization.drawn.epsilon import PLANT, epsilons
from dashboards.memorization.drawn.exposure import Exposure
from dashboards.memorization.drawn.extraction import Extraction
from dashboards.memorization.drawn.frontier import frontiers
from dashboards.memorization.drawn.roc import Roc
from dashboards.memorization.drawn.spending import history
from dashboards.rows import Rows
from dashboards.settings import read_settings
from dashboards.view_models import views
from dashboards.widgets.choose import choose_audit
from dashboards.widgets.reveal import revealed
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
    found = list(_opened(audit))
    drawn = [_section(kind(), audit, found, settings.output) for kind in SECTIONS]
    _rest(found, drawn=any(drawn))
    st.header(_("What privacy cost"))
    frontiers(audit, settings.output)
    st.header(_("What was spent"))
    history(audit)


def _rest(opened: Sequence[tuple[Declaration, Rows]], *, drawn: bool) -> None:
    """Name the probes of memorization that no chart here shows; where there are none at all, say what to run."""
    asked = [declared for declared, _rows in opened if declared.probe.startswith("memorization/")]
    left = [each.probe for each in asked if not any(kind().fits(each) for kind in SECTIONS)]
    if drawn and not left:
        return
    st.header(_("What it kept of its records"))
    if left:
        st.info(views.plain(_("No chart of this page fits the rows of {probes}.", probes=", ".join(left))))
        st.page_link("screens/probe.py", label=_("Their numbers"), icon=":material/biotech:")
        return
    st.info(_("No probe of this audit looked for canaries, members or texts. Plant canaries, then audit memorization:"))
    st.code(f"{PLANT}\nassay run --checkpoint checkpoints/private --suite memorization", language=None, wrap_lines=True)


def _opened(audit: Audit) -> Iterator[tuple[Declaration, Rows]]:
    """Probes that have rows, with what these are; what of them is damaged is said once."""
    for probe in audit.manifest.probes:
        try:
            rows = cache.rows(audit.folder, probe.name)
        except AssayError as error:
            st.error(views.plain(f"{probe.name}: {error}"), icon=":material/broken_image:")
            continue
        for damage in rows.damaged:
            said = _("A part of the rows of {probe} is damaged and left out. {why}", probe=probe.name, why=damage)
            st.error(views.plain(said))
        if rows.total:
            yield declaration(audit, probe.name, rows.types(), None), rows  # by columns: no plug-in is imported


def _section(view: View, audit: Audit, opened: Sequence[tuple[Declaration, Rows]], output: Path) -> bool:
    """Draw a view of every probe that it fits; whether there is one."""
    fitted = [(declared, rows) for declared, rows in opened if view.fits(declared)]
    if fitted:
        st.header(view.title)
    for declared, rows in fitted:
        st.markdown(f"**{views.plain(declared.probe)}**")
        readable = isinstance(view, Canaries) and revealed(
            output, audit.manifest.audit_id, declared.probe, key=f"reveal-{declared.probe}"
        )
        key = cache.rows_key(audit.folder, declared.probe)
        draw(view, Shown(audit, declared, rows, readable, st.query_params, key, folder_key(output)))
    return bool(fitted)


show()
