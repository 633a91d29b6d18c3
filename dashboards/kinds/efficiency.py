"""What the probes of an audit cost: rows, tokens, seconds, and what padding and caches did to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from dashboards.kinds.view import Declaration, Shown, View
from dashboards.view_models.views import plain
from harness.base.colours import BLUE, GREY
from harness.base.language import _
from harness.base.numbers import number
from harness.record.folder import WorkRecord

_MINE, _OTHERS = BLUE, GREY


def work_table(work: Iterable[WorkRecord]) -> pd.DataFrame:
    """A line per probe and model: `rows`, `tokens`, `padded`, `batches`, `seconds`, `tokens_per_second`, `spared`.

    A resumed audit did its work in parts, which add up. `padded`: padded tokens over tokens; `spared`: requests that
    were answered without the model. NaN where nothing was read.
    """
    lines = [
        {
            "probe": each.probe,
            "model": each.model,
            "rows": each.rows,
            "tokens": each.tokens,
            "padded_tokens": each.padded_tokens,
            "batches": each.batches,
            "seconds": each.seconds,
            "spared": each.reused + each.cached,
        }
        for each in work
    ]
    if not lines:
        return pd.DataFrame()
    table = pd.DataFrame(lines).groupby(["probe", "model"], as_index=False, sort=False).sum()
    read = table["tokens"].where(table["tokens"] > 0)
    table["padded"] = table.pop("padded_tokens") / read
    table["tokens_per_second"] = read / table["seconds"].where(table["seconds"] > 0)
    return table


class Efficiency(View):
    """Work of the whole audit, this probe's marked."""

    name = "efficiency"
    place = 95

    @property
    def title(self) -> str:
        """What readers choose it by."""
        return _("Efficiency")

    def fits(self, declared: Declaration) -> bool:
        """Every probe's work is recorded."""
        return True

    def draw(self, shown: Shown) -> None:
        """Seconds by probe, then everything as a table."""
        table = work_table(shown.audit.manifest.work)
        if table.empty:
            st.info(_("No work is recorded of this audit yet."))
            return
        st.caption(_("Seconds in the model, by probe; work of a second model stands on a line of its own."))
        st.altair_chart(_chart(table, shown.probe), width="stretch", alt=plain(_("Seconds by probe")))
        named = {
            "probe": _("probe"),
            "model": _("model"),
            "rows": _("texts read"),
            "tokens": _("tokens"),
            "batches": _("batches"),
            "seconds": _("seconds"),
            "spared": _("answered without the model"),
            "padded": _("padded tokens per token"),
            "tokens_per_second": _("tokens per second"),
        }
        numbers = {name: st.column_config.NumberColumn(format="%.3g") for name in (named["padded"], named["seconds"])}
        numbers[named["tokens_per_second"]] = st.column_config.NumberColumn(format="%.0f")
        st.dataframe(
            table.rename(columns=named),
            hide_index=True,
            column_config=numbers,
            placeholder="missing",
            alt=plain(_("Work of this audit by probe")),
        )


def _chart(table: pd.DataFrame, probe: str) -> Any:
    drawn = table.assign(
        line=[
            f"{name} ({model})" if model else name for name, model in zip(table["probe"], table["model"], strict=True)
        ],
        mine=table["probe"] == probe,
        shown=[f"{number(value)} s" for value in table["seconds"]],
    )
    y = alt.Y("line:N", sort=None, title=None, axis=alt.Axis(labelLimit=280))
    colour = alt.condition("datum.mine", alt.value(_MINE), alt.value(_OTHERS))
    bars = alt.Chart(drawn).encode(y=y, x=alt.X("seconds:Q", title=_("seconds")), tooltip=["line:N", "shown:N"])
    return bars.mark_bar().encode(color=colour).properties(height=alt.Step(26))
