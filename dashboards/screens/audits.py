"""Page: every audit with its verdict."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboards import cache
from dashboards.audits import Entry
from dashboards.charts import COLOURS
from dashboards.settings import read_settings
from dashboards.view_models.views import BADGES, audit_table, badge, plain, titled
from dashboards.widgets.choose import no_audits
from harness.base.language import _
from harness.gate.decide import Outcome


def show() -> None:
    """Draw the page."""
    settings = read_settings()
    st.title(_("Audits"))
    entries, problem = cache.entries(settings)
    if problem:
        st.warning(plain(problem), icon=":material/cloud_off:")
    if not entries:
        no_audits(settings)
        return
    wanted = st.text_input(_("Find"), placeholder=_("checkpoint, name, verdict, …")).casefold()
    table = audit_table(entries)
    hit = table.apply(lambda line: wanted in " ".join(map(str, line)).casefold(), axis=1)
    shown = [entry for entry, found in zip(entries, hit, strict=True) if found]
    st.caption(_("{n} of {all} audits. Choose a line to open the audit.", n=len(shown), all=len(entries)))
    _table(shown)


def _table(entries: list[Entry]) -> None:
    event = st.dataframe(
        titled(audit_table(entries)).style.apply(_colours, subset=[_("verdict")]),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            _("why"): st.column_config.TextColumn(width="large"),
            _("audit"): st.column_config.LinkColumn(display_text="audit=(.*)"),
        },
    )
    chosen = event["selection"]["rows"]
    if chosen:
        st.switch_page("screens/audit.py", query_params={"audit": entries[chosen[0]].audit_id})


def _colours(verdicts: pd.Series[str]) -> list[str]:
    colours = {badge(outcome): COLOURS[BADGES[outcome]] for outcome in Outcome}
    return [f"color: {colours[verdict]}" if verdict in colours else "" for verdict in verdicts]


show()
