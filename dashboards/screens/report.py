"""Page: the audit's report in every format and at every level of disclosure."""

from __future__ import annotations

import streamlit as st

from dashboards import cache
from dashboards.settings import read_settings
from dashboards.view_models import views
from dashboards.widgets.choose import choose_audit
from dashboards.widgets.reveal import revealed
from harness.base.language import _, marked
from harness.errors import AssayError
from harness.reports.content.api import Level

_SAYS = {
    Level.SUMMARY: marked("verdict, gates and what probes cannot tell; no path, command or setting"),
    Level.FINDINGS: marked("every metric and the provenance; texts and personal data masked"),
    Level.FULL: marked("the texts of rows as well, which may be toxic or personal"),
    Level.REPRODUCTION: marked("what full shows; with the format pack, all that is needed to run it again"),
}


def show() -> None:
    """Draw the page."""
    settings = read_settings()
    audit = choose_audit("report", settings)
    if audit is None:
        return
    left, right = st.columns(2)
    level = left.selectbox(_("Level"), [each.value for each in Level], index=1, key="level", bind="query-params")
    left.caption(_(_SAYS[Level(level or Level.FINDINGS)]))
    writers = cache.writers()
    name = right.selectbox(
        _("Format"), sorted(writers), index=sorted(writers).index("html"), key="format", bind="query-params"
    )
    chosen = Level(level or Level.FINDINGS)
    if chosen.shows_text and not revealed(settings.output, audit.manifest.audit_id, "report"):
        st.info(_("A report of this level holds texts of rows. Switch on “Show texts” to make it."))
        return
    writer = writers[str(name)]
    try:
        content = cache.report(audit, writer.name, chosen)
    except AssayError as error:
        st.error(views.plain(str(error)))
        return
    st.download_button(
        _("Download report{suffix}", suffix=writer.suffix),
        content,
        file_name=f"{audit.manifest.audit_id}-{chosen}{writer.suffix}",
        on_click="ignore",
        icon=":material/download:",
    )
    _preview(content, writer.suffix)


def _preview(content: bytes, suffix: str) -> None:
    """The report as text; HTML in a frame of its own."""
    if suffix in (".zip", ".pdf"):
        st.info(_("A {suffix} file has no preview; download it.", suffix=suffix))
    elif suffix == ".html":
        st.iframe(content.decode(), height=900)
    else:
        st.code(content.decode(errors="replace"), language=None, wrap_lines=True, height=700)


show()
