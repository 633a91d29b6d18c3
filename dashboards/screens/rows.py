"""Page: the rows of one probe, filtered, sorted and paged, and beside them one in full."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import streamlit as st

from dashboards import cache
from dashboards.rows import RowFilter, Rows, csv_bytes, pages, parquet_bytes
from dashboards.settings import read_settings
from dashboards.view_models import views
from dashboards.view_models.changes import changes_html
from dashboards.widgets.choose import choose, choose_audit
from dashboards.widgets.reveal import ordered, revealed, searched
from dashboards.widgets.row_filter import ask_filter
from dashboards.widgets.save import File, offer
from dashboards.widgets.steps import step
from harness.base.language import _, told
from harness.errors import AssayError

_LINE = 35
"""Pixels of a line of the table, which has room for as many as there are."""


def show() -> None:
    """Draw the page."""
    settings = read_settings()
    left, right = st.columns(2)
    with left:
        audit = choose_audit("rows", settings)
    if audit is None:
        return
    probes = [probe.name for probe in audit.manifest.probes]
    if not probes:
        st.info(_("This audit has no probes."))
        return
    with right:
        probe = choose("rows", "probe", probes)
    try:
        rows = cache.rows(audit.folder, probe)
        _rows(rows, audit.folder, probe, settings.output)
    except AssayError as error:
        st.error(views.plain(str(error)), icon=":material/broken_image:")


def _rows(rows: Rows, folder: Path, probe: str, output: Path) -> None:
    for damage in rows.damaged:
        st.error(views.plain(_("A part of these rows is damaged and left out. {damage}", damage=damage)))
    for said in rows.left_out:
        st.warning(views.plain(said))
    if rows.total == 0:
        st.info(views.plain(_("{probe} has no rows.", probe=probe)))
        return
    _left, reveal = st.columns([3, 1])
    with reveal:
        readable = revealed(output, folder.name, probe)
    asked_for = ask_filter(rows, readable=readable)
    contains = searched(output, folder.name, probe, asked_for.contains, readable=readable)
    hidden = () if readable else rows.private()
    wanted = ordered(output, folder.name, probe, replace(asked_for, contains=contains), hidden)
    count = cache.row_count(folder, probe, wanted)
    asked = st.query_params.get("case")
    table, detail = st.columns([3, 2]) if asked else (st.container(), st.container())
    with table:
        _page(rows, wanted, count, folder, probe, readable)
    with detail:
        case = st.query_params.get("case")
        if case:
            _detail(rows, case, wanted, readable)


def _page(rows: Rows, wanted: RowFilter, count: int, folder: Path, probe: str, readable: bool) -> None:
    """Draw a page of rows, its texts hidden where they are not `readable`."""
    total = pages(count)
    said = st.empty()
    page = st.pagination(total, key="page", bind="query-params") if total > 1 else 1
    said.text(_("{n:,} of {all:,} rows; page {page:,} of {pages:,}", n=count, all=rows.total, page=page, pages=total))
    shown = rows.page(wanted, page)
    cases = list(shown["case_id"])
    if not readable:
        shown = views.mask(shown, [column for column in rows.private() if column in shown])
    meanings = cache.meanings(probe)
    event = st.dataframe(
        views.tidy_errors(shown),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        column_order=_columns(rows),
        column_config={name: st.column_config.Column(help=views.plain(told(what))) for name, what in meanings.items()},
        placeholder=_("missing"),
        height=min(560, _LINE * (len(shown) + 1) + 20),
        key=f"rows-{probe}-{hash(repr(wanted))}-{page}",
        alt=views.plain(_("Rows of {probe}", probe=probe)),
    )
    chosen = event["selection"]["rows"]
    if chosen and st.query_params.get("case") != cases[chosen[0]]:
        st.query_params["case"] = cases[chosen[0]]
        st.rerun()
    _downloads(rows, wanted, count, f"{folder.name}-{probe.replace('/', '-')}", readable)


def _columns(rows: Rows) -> list[str] | None:
    """The columns chosen, None for all."""
    chosen = st.multiselect(
        _("Columns"),
        list(rows.columns),
        key="columns",
        bind="query-params",
        placeholder=_("All columns"),
        select_all=False,
    )
    return chosen or None


def _downloads(rows: Rows, wanted: RowFilter, count: int, name: str, readable: bool) -> None:
    csv, parquet, why = st.columns([1, 1, 3], vertical_alignment="center")
    most = _("The rows the filters leave, 100,000 at most. What a spreadsheet would run has an apostrophe first.")
    disabled = count == 0 or not readable
    files = [
        File("CSV", f"{name}.csv", lambda: csv_bytes(rows, wanted), most, disabled),
        File(
            "Parquet",
            f"{name}.parquet",
            lambda: parquet_bytes(rows, wanted),
            _("All rows the filters leave."),
            disabled,
        ),
    ]
    offer([csv, parquet], files)
    if not readable:
        why.caption(_("Show texts to download rows: they hold them."))


def _detail(rows: Rows, case: str, wanted: RowFilter, readable: bool) -> None:
    top = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
    top.subheader(_("One row in full"), width="content")
    if top.button(_("Close"), icon=":material/close:"):
        del st.query_params["case"]
        st.rerun()
    row = rows.find(case)
    if row is None:
        st.info(views.plain(_("No row of this probe has the case {case}.", case=repr(case[:80]))))
        return
    step(*rows.neighbours(wanted, case))
    changed = changes_html(row) if readable else None
    if changed is not None:
        st.html(changed)
    private = set(rows.private())
    fields = views.row_fields(row if readable else views.mask_row(row, {*row} - private))
    short = [(field.name, field.text) for field in fields if field.kind in ("short", "missing")]
    st.table(views.markdown_table((_("column"), _("value")), short), border="horizontal", width="content")
    for field in fields:
        if field.kind in ("text", "json"):
            st.caption(views.plain(field.name))
            st.code(field.text, language="json" if field.kind == "json" else None, wrap_lines=True)


show()
