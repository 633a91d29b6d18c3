"""Surprise by length: bits per byte, or per word or token, of short and of long texts."""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from dashboards.kinds.view import Declaration, Shown, View
from dashboards.rows import RowFilter, Rows
from dashboards.view_models.views import plain
from harness.api.estimates import estimate
from harness.api.metrics import Better, RowValues
from harness.base.colours import BLUE
from harness.base.language import _
from harness.base.numbers import interval, number
from harness.stats.confidence import equal_mass

NATS = "nll"
SIZES = ("bytes", "words", "tokens")
"""Columns that say how long a text is, in the unit of their name; bytes compare checkpoints of any tokenizer."""
BINS = 10


def sizes(declared: Declaration) -> list[str]:
    """Lengths that summed nats can be held against."""
    if not declared.has(NATS, "double", "float") or declared.columns[NATS].unit != "nats":
        return []
    return [name for name in SIZES if declared.has(name, "int64") and declared.columns[name].unit == name]


def bits_by_length(nats: Any, size: Any) -> pd.DataFrame:
    """A line per tenth of the texts, shortest first: `length` (mean size), `bits` per unit of size, `low`, `high`, `n`.

    Summed bits over summed sizes [n], with the interval of that quotient over texts; NaN where they bound no end.
    """
    nats, size = np.asarray(nats, dtype=np.float64), np.asarray(size, dtype=np.float64)
    bins = equal_mass(size, BINS)
    lines = []
    for each in np.unique(bins):
        mine = bins == each
        values = RowValues(nats[mine] / math.log(2), size[mine], bounds=(0.0, math.inf))
        found = estimate("bits", values, better=Better.LOWER)
        ends = {"low": found.low, "high": found.high, "interval": interval(found.low, found.high)}
        lines.append({"length": float(size[mine].mean()), "bits": found.value, "n": int(mine.sum()), **ends})
    return pd.DataFrame(lines).astype({"low": float, "high": float})


class Lengths(View):
    """Bits per unit of text, by length."""

    name = "lengths"
    place = 40

    @property
    def title(self) -> str:
        """What readers choose it by."""
        return _("By length")

    def fits(self, declared: Declaration) -> bool:
        """Where rows have summed nats and a length to hold them against."""
        return bool(sizes(declared))

    def draw(self, shown: Shown) -> None:
        """A point per tenth of the texts."""
        known = sizes(shown.declared)
        asked = shown.address.get("lengths.unit")
        index = known.index(asked) if asked in known else 0
        words = {"bytes": _("bytes"), "words": _("words"), "tokens": _("tokens")}
        unit = str(
            st.selectbox(
                _("Length in"), known, index=index, key=f"lengths-{shown.probe}", format_func=words.__getitem__
            )
        )
        shown.address["lengths.unit"] = unit
        found = _kept(shown.key, unit, shown.rows)
        if found.empty:
            st.info(_("No row has both."))
            return
        said = _(
            "{n} texts in parts of equal size; lines: 95 % intervals, where texts bound both ends",
            n=f"{int(found['n'].sum()):,}",
        )
        st.caption(plain(said))
        name = {"bytes": _("bits per byte"), "words": _("bits per word"), "tokens": _("bits per token")}[unit]
        st.altair_chart(
            _chart(found, words[unit], name), width="stretch", alt=plain(_("{value} by length", value=name))
        )
        told = {"length": map(number, found["length"]), "shown": map(number, found["bits"])}
        table = found.assign(**{name: list(values) for name, values in told.items()})
        table = table[["length", "shown", "interval", "n"]]
        named = {"length": _("mean length"), "shown": name, "interval": _("interval")}
        st.dataframe(table.rename(columns=named), hide_index=True, alt=plain(_("{value} by length", value=name)))


@st.cache_data(max_entries=16, show_spinner=False)
def _kept(key: object, unit: str, _rows: Rows) -> pd.DataFrame:
    found = _rows.read([NATS, unit], RowFilter(status="ok")).dropna()
    found = found[found[unit] > 0]
    return pd.DataFrame() if found.empty else bits_by_length(found[NATS], found[unit])


def _chart(found: pd.DataFrame, unit: str, name: str) -> Any:
    x = alt.X(
        "length:Q", title=_("mean length ({unit})", unit=unit), scale=alt.Scale(type="log", nice=False, padding=12)
    )
    scale = alt.Scale(zero=False)
    points = alt.Chart(found)
    tooltip = [alt.Tooltip("length:Q", format=".4g"), alt.Tooltip("bits:Q", format=".4g"), "interval:N", "n:Q"]
    ends = alt.Chart(found.dropna(subset=["low", "high"]))
    return alt.layer(
        ends.mark_rule(color=BLUE, strokeWidth=2).encode(x=x, y=alt.Y("low:Q", title=name, scale=scale), y2="high:Q"),
        points.mark_line(color=BLUE, strokeWidth=1, opacity=0.5).encode(x=x, y=alt.Y("bits:Q", scale=scale)),
        points.mark_point(color=BLUE, filled=True, opacity=1, size=90).encode(
            x=x, y=alt.Y("bits:Q", title=name, scale=scale), tooltip=tooltip
        ),
    ).properties(height=300)
