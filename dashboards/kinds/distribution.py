"""How the values of a column of numbers are spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from dashboards.kinds.view import Column, Declaration, Shown, View
from dashboards.rows import Rows, quoted
from dashboards.view_models.views import plain
from harness.base.colours import BLUE
from harness.base.language import _
from harness.base.numbers import number

BINS = 30
NUMBERS = ("double", "float", "int64", "int32")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Spread:
    """Values of a column over the rows that were measured.

    Attributes:
        bins: `low`, `high`, `rows`, one line per bin of equal width; an empty bin has 0 rows.
        quantiles: at QUANTILES, of the finite values.
        n: finite values.
        missing: rows with status ok that have none.
    """

    bins: pd.DataFrame
    quantiles: tuple[float, ...]
    n: int
    missing: int


def spread(rows: Rows, column: str) -> Spread:
    """The histogram of a column, counted by DuckDB. Raises AuditError."""
    value = f"{quoted(column)}::DOUBLE"
    told = f"FROM {{rows}} WHERE status = 'ok' AND isfinite({value})"
    shares = ", ".join(map(str, QUANTILES))
    ends = rows.ask(f"SELECT min({value}) AS low, max({value}) AS high, count(*) AS n {told}").iloc[0]
    (all_rows,) = rows.ask("SELECT count(*) AS n FROM {rows} WHERE status = 'ok'")["n"]
    n, missing = int(ends["n"]), int(all_rows) - int(ends["n"])
    if n == 0:
        return Spread(pd.DataFrame(columns=["low", "high", "rows"]), (), 0, missing)
    low, high = float(ends["low"]), float(ends["high"])
    width = (high - low) / BINS or 1.0
    place = f"least(floor(({value} - ?) / ?), {BINS - 1})::INT"
    counted = rows.ask(f"SELECT {place} AS bin, count(*) AS rows {told} GROUP BY bin", [low, width])
    counts = dict(zip(counted["bin"], counted["rows"], strict=True))
    bins = [{"low": low + i * width, "high": low + (i + 1) * width, "rows": int(counts.get(i, 0))} for i in range(BINS)]
    middle = rows.ask(f"SELECT unnest(quantile_cont({value}, [{shares}])) AS at {told}")["at"]
    return Spread(pd.DataFrame(bins if high > low else bins[:1]), tuple(map(float, middle)), n, missing)


def numeric(declared: Declaration) -> list[Column]:
    """Columns of numbers, those with a unit first."""
    found = [column for column in declared.columns.values() if column.type in NUMBERS]
    return sorted(found, key=lambda column: not column.unit)


class Distribution(View):
    """A histogram of one column, chosen by name."""

    name = "distribution"
    place = 80

    @property
    def title(self) -> str:
        """What readers choose it by."""
        return _("Distribution")

    def fits(self, declared: Declaration) -> bool:
        """Where a column holds numbers."""
        return bool(numeric(declared))

    def draw(self, shown: Shown) -> None:
        """The histogram with its quantiles."""
        columns = {column.name: column for column in numeric(shown.declared)}
        asked = shown.address.get("distribution.column")
        names = list(columns)
        index = names.index(asked) if asked in columns else 0
        name = str(st.selectbox(_("Column"), names, index=index, key=f"distribution-{shown.probe}"))
        shown.address["distribution.column"] = name
        found = _kept_spread(shown.key, name, shown.rows)
        column = columns[name]
        st.caption(plain(_said(found, column)))
        if found.n:
            st.altair_chart(_chart(found, column), width="stretch", alt=plain(_("Histogram of {column}", column=name)))


@st.cache_data(max_entries=64, show_spinner=False)
def _kept_spread(key: object, column: str, _rows: Rows) -> Spread:
    return spread(_rows, column)


def _said(found: Spread, column: Column) -> str:
    counted = _("n = {n}, {missing} without a value", n=f"{found.n:,}", missing=f"{found.missing:,}")
    if not found.n:
        return f"{column.meaning or column.name}. {counted}"
    low, _lower, middle, _upper, high = map(number, found.quantiles)
    told = _("median {middle}, 90 % of rows from {low} to {high}", middle=middle, low=low, high=high)
    return ". ".join(filter(None, [column.meaning or column.name, counted, told]))


def _chart(found: Spread, column: Column) -> Any:
    unit = f" ({column.unit})" if column.unit else ""
    tooltip = [alt.Tooltip("low:Q", format=".4g"), alt.Tooltip("high:Q", format=".4g"), "rows:Q"]
    return (
        alt.Chart(found.bins)
        .mark_bar(color=BLUE, stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("low:Q", bin="binned", title=f"{column.name}{unit}"),
            x2="high:Q",
            y=alt.Y("rows:Q", title=_("rows")),
            tooltip=tooltip,
        )
        .properties(height=280)
    )
