"""Page: every audit with its verdict."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboards import cache
from dashboards.audits import Entry
from dashboards.charts import COLOURS
from dashboards.choose import no_audits
from dashboards.settings import read_settings
from dashboards.views import audit_table, plain


def show() -> None:
    """Draw the page."""
    settings = read_settings()
    st.title("Audits")
    entries, problem = cache.entries(settings)
    if problem:
        st.warning(plain(problem), icon=":material/cloud_off:")
    if not entries:
        no_audits(settings)
        return
    wanted = st.text_input("Find", placeholder="checkpoint, name, verdict, …").casefold()
    table = audit_table(entries)
    hit = table.apply(lambda line: wanted in " ".join(map(str, line)).casefold(), axis=1)
    shown = [entry for entry, found in zip(entries, hit, strict=True) if found]
    st.caption(f"{len(shown)} of {len(entries)} audits. Choose a line to open the audit.")
    _table(shown)


def _table(entries: list[Entry]) -> None:
    event = st.dataframe(
        audit_table(entries).style.apply(_colours, subset=["verdict"]),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "why": st.column_config.TextColumn(width="large"),
            "audit": st.column_config.LinkColumn(display_text="audit=(.*)"),
        },
    )
    chosen = event["selection"]["rows"]
    if chosen:
        st.switch_page("screens/audit.py", query_params={"audit": entries[chosen[0]].audit_id})


def _colours(verdicts: pd.Series[str]) -> list[str]:
    return [f"color: {COLOURS[verdict]}" if verdict in COLOURS else "" for verdict in verdicts]


show()
