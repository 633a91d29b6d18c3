"""Asks which rows to show. Every answer is in the page's address, so that a link restores the view."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboards.rows import SHORT, RowFilter, Rows
from dashboards.view_models.views import plain
from harness.base.language import _
from harness.base.numbers import MISSING


def ask_filter(rows: Rows, *, readable: bool) -> RowFilter:
    """Controls over the rows of a probe: status, text, order, and values of chosen columns.

    Where texts are not `readable` they are nothing to choose among either.
    """
    status, text, sort, order = st.columns([1, 2, 1, 1], vertical_alignment="bottom")
    # what is chosen among stands in the address, so it is said alike in every language
    chosen = status.selectbox(
        _("Status"), ["ok", "error", "excluded"], index=None, placeholder=_("all"), key="status", bind="query-params"
    )
    contains = text.text_input(_("Text contains"), key="contains", bind="query-params")
    sort_by = sort.selectbox(
        _("Sort by"), rows.sortable, index=None, placeholder=_("as written"), key="sort", bind="query-params"
    )
    descending = order.toggle(_("Descending"), key="descending", bind="query-params")
    filterable = [name for name in rows.sortable if name not in SHORT]
    columns = st.multiselect(
        _("Filter by"),
        filterable,
        key="by",
        bind="query-params",
        placeholder=_("Choose columns to filter by"),
        select_all=False,
    )
    values: dict[str, list[Any]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    hidden = () if readable else rows.private()
    for name in columns:
        if name in hidden:
            st.caption(
                plain(_("{column}: its texts are hidden; switch on “Show texts” to choose among them.", column=name))
            )
        else:
            _ask_column(rows, name, values, ranges)
    return RowFilter(
        status=chosen or "",
        contains=contains or "",
        values={name: allowed for name, allowed in values.items() if allowed},
        ranges=ranges,
        sort=sort_by or "",
        descending=descending,
    )


def _ask_column(rows: Rows, name: str, values: dict[str, list[Any]], ranges: dict[str, tuple[float, float]]) -> None:
    """Its values where few differ, else from where to where; a text of which many differ has neither."""
    choices = rows.choices(name)
    if choices is not None:
        shown = {MISSING if value is None else str(value): value for value in choices}
        picked = st.multiselect(
            plain(name),
            list(shown),
            key=f"is.{name}",
            bind="query-params",
            placeholder=_("any value"),
            select_all=False,
        )
        values[name] = [shown[each] for each in picked]
        return
    bounds = rows.bounds(name) if name in rows.numeric else None
    if bounds is None:
        st.caption(
            plain(_("{column}: too many values to choose among; search them with “Text contains”.", column=name))
        )
        return
    ends = (
        (_("{column} from", column=name), bounds[0], f"from.{name}"),
        (_("{column} to", column=name), bounds[1], f"to.{name}"),
    )
    low, high = (
        place.number_input(plain(label), value=value, key=key, bind="query-params", format="%g")  # 0.00 of a p of 0.001
        for place, (label, value, key) in zip(st.columns(2), ends, strict=True)
    )
    ranges[name] = (low, high)
