"""Entry of the dashboard: `assay dashboard` serves it; `streamlit run dashboards/app.py` does too."""

from __future__ import annotations

import streamlit as st

from dashboards import whiskers
from dashboards.access.actor import current, take_key
from dashboards.access.roles import Role
from dashboards.server.door import admits
from dashboards.settings import read_settings
from dashboards.widgets.languages import SWITCH_STYLE, speak_chosen, switch
from dashboards.widgets.sign_in import sign_in, signed_in_line
from harness.base.language import _

STYLE = """
[data-testid=stCaptionContainer] { opacity: 1; color: inherit; }
[data-testid=stMainBlockContainer] { padding-top: 4.5rem; }
[data-testid=stTopNavLink] { gap: .25rem; padding: 0 .3rem; }
[data-variant=segmented_control][data-selected=true], [data-variant=segmented_control] p { color: inherit !important; }
"""  # Streamlit's captions and chosen segments are too pale to read (WCAG 2.2, 1.4.3), half its first screen is empty,
# and its menu of all pages is wider than 1280 pixels
st.set_page_config(page_title="Assay", page_icon="⚖️", layout="wide")
st.set_option("client.disableDataExport", True)  # its own CSV holds cells that a spreadsheet would run; ours does not
speak_chosen()
if not admits(st.context.headers.to_dict()):
    st.error(_("This dashboard is asked for by a name it does not answer to. Open it as http://localhost."))
    st.stop()
st.html(f"<style>{STYLE}{SWITCH_STYLE}{whiskers.STYLE}</style>")
switch()
settings = read_settings()
take_key()
actor = current(settings)
if actor.role is Role.NONE:
    sign_in(actor)
    st.stop()
page = st.navigation(
    [
        # Streamlit gives the default page no path of its own, so no page that anybody links to is the default
        st.Page("screens/board.py", title=_("Releases"), icon=":material/dashboard:", default=True),
        st.Page("screens/audits.py", title=_("Audits"), icon=":material/list:", url_path="audits"),
        st.Page("screens/audit.py", title=_("Audit"), icon=":material/gavel:", url_path="audit"),
        st.Page("screens/compare.py", title=_("Compare"), icon=":material/compare_arrows:", url_path="compare"),
        st.Page("screens/attacks.py", title=_("Attacks"), icon=":material/swords:", url_path="attacks"),
        st.Page("screens/bias.py", title=_("Bias"), icon=":material/balance:", url_path="bias"),
        st.Page(
            "screens/memorization.py", title=_("Memorization"), icon=":material/fingerprint:", url_path="memorization"
        ),
        st.Page("screens/quality.py", title=_("Quality"), icon=":material/verified:", url_path="quality"),
        st.Page("screens/probe.py", title=_("Probe"), icon=":material/biotech:", url_path="probe"),
        st.Page("screens/rows.py", title=_("Rows"), icon=":material/table_rows:", url_path="rows"),
        st.Page("screens/live.py", title=_("Live"), icon=":material/monitor_heart:", url_path="live"),
        st.Page("screens/start.py", title=_("Start"), icon=":material/play_arrow:", url_path="start"),
        st.Page("screens/report.py", title=_("Report"), icon=":material/description:", url_path="report"),
    ],
    position="top",
)
st.set_page_config(page_title=f"{page.title} · Assay")
page.run()
if settings.access.roles is not None:
    signed_in_line(actor)
