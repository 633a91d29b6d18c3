"""Page: the rows of one probe, filtered, sorted and paged, and one of them in full."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from dashboards import cache, views
from dashboards import row_table as rt
from dashboards.changes import changes_html
from dashboards.choose import choose, choose_audit
from dashboards.row_filter import ask_filter
from dashboards.settings import read_settings


def show() -> None:
    """Draw the page."""
    st.title("Rows")
    left, right = st.columns(2)
    with left:
        audit = choose_audit("rows", read_settings())
    if audit is None:
        return
    probes = [probe.name for probe in audit.manifest.probes]
    if not probes:
        st.info("This audit has no probes.")
        return
    with right:
        probe = choose("rows", "probe", probes)
    rows = cache.rows(audit.folder, probe)
    for damage in rows.damaged:
        st.error(views.plain(f"A part of these rows is damaged and left out. {damage}"))
    if rows.table.num_rows == 0:
        st.info(views.plain(f"{probe} has no rows."))
        return
    wanted, readable = ask_filter(rows, probe)
    positions = rt.select(rows.table, wanted)
    case = _page(rows.table, positions, f"{probe}-{hash(repr(wanted))}", audit.folder, readable, cache.meanings(probe))
    if case:
        _detail(rows.table, case, readable)


def _page(table: Any, positions: Any, key: str, folder: Path, readable: bool, meanings: Mapping[str, str]) -> str:
    """Draw a page of rows, `meanings` over its columns; the case to show in full, '' for none."""
    total = rt.pages(len(positions))
    count, number, download = st.columns([4, 1, 1], vertical_alignment="bottom")
    page = int(number.number_input("Page", 1, total, 1, key=f"page-{key}"))
    count.text(f"{len(positions):,} of {table.num_rows:,} rows; page {page} of {total:,}")
    download.download_button(
        "Download as CSV",
        lambda: rt.csv_bytes(table, positions),
        file_name=f"{folder.name}-{key.split('-')[0].replace('/', '-')}.csv",
        mime="text/csv",
        on_click="ignore",
        help="The rows the filters leave, in full. A text that a spreadsheet would run has an apostrophe before it.",
        disabled=len(positions) == 0,
    )
    shown = rt.page(table, positions, page)
    cases = list(shown["case_id"])
    if not readable:
        hidden = [column for column in rt.text_columns(table) if column not in rt.SHORT]
        shown = views.mask(shown, hidden)
    event = st.dataframe(
        views.tidy_errors(shown),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        column_config={name: st.column_config.Column(help=views.plain(what)) for name, what in meanings.items()},
        placeholder="missing",
        height=560,
        key=f"rows-{key}-{page}",
    )
    chosen = event["selection"]["rows"]
    if chosen:
        st.query_params["case"] = cases[chosen[0]]
    return st.query_params.get("case") or ""


def _detail(table: Any, case: str, readable: bool) -> None:
    st.subheader("One row in full")
    row = rt.find_case(table, case)
    if row is None:
        st.info(views.plain(f"No row of this probe has the case {case[:80]!r}."))
        return
    changed = changes_html(row) if readable else None
    if changed is not None:
        st.html(changed)
    fields = views.row_fields(row if readable else views.mask_row(row, rt.SHORT))
    short = [(field.name, field.text) for field in fields if field.kind in ("short", "missing")]
    st.table(views.markdown_table(("column", "value"), short), border="horizontal", width="content")
    for field in fields:
        if field.kind in ("text", "json"):
            st.caption(views.plain(field.name))
            st.code(field.text, language="json" if field.kind == "json" else None, wrap_lines=True)


show()
