"""Asks which rows to show."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboards import row_table as rt
from dashboards.views import plain
from harness.base.numbers import MISSING


def ask_filter(rows: rt.Rows, probe: str) -> tuple[rt.RowFilter, bool]:
    """Controls over the rows of `probe`: status, text, values of chosen columns, order; and whether to show texts."""
    status, text, sort, order = st.columns([1, 2, 1, 1], vertical_alignment="bottom")
    chosen_status = status.selectbox("Status", ["all", "ok", "error", "excluded"], key=f"status-{probe}")
    contains = text.text_input("Text contains", key=f"contains-{probe}")
    sort_by = sort.selectbox("Sort by", ["as written", *rt.sortable_columns(rows.table)], key=f"sort-{probe}")
    descending = order.toggle("Descending", key=f"descending-{probe}")
    filterable = [
        name
        for name in rows.table.column_names
        if name not in rt.SHORT and (name in rows.choices or name in rows.bounds)
    ]
    by, readable = st.columns([4, 1], vertical_alignment="bottom")
    columns = by.multiselect("Filter by", filterable, key=f"columns-{probe}", placeholder="Choose columns")
    values = {name: _ask_values(rows.choices[name], name, probe) for name in columns if name in rows.choices}
    wanted = rt.RowFilter(
        status="" if chosen_status == "all" else chosen_status,
        contains=contains,
        values={name: allowed for name, allowed in values.items() if allowed},
        ranges={name: _ask_range(rows.bounds[name], name, probe) for name in columns if name not in rows.choices},
        sort="" if sort_by == "as written" else sort_by,
        descending=descending,
    )
    return wanted, readable.toggle("Show texts", value=True, help="Off: texts are replaced by their length.")


def _ask_values(options: list[Any], column: str, probe: str) -> list[Any]:
    return st.multiselect(
        plain(column),
        options,
        format_func=lambda value: MISSING if value is None else str(value),
        key=f"values-{probe}-{column}",
        placeholder="any value",
    )


def _ask_range(bounds: tuple[float, float], column: str, probe: str) -> tuple[float, float]:
    low, high = st.columns(2)
    return (
        low.number_input(plain(f"{column} from"), value=bounds[0], key=f"low-{probe}-{column}"),
        high.number_input(plain(f"{column} to"), value=bounds[1], key=f"high-{probe}-{column}"),
    )
