"""A complete view in one file: how often each class is predicted."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboards.kinds import Declaration, Shown, View
from dashboards.rows import Rows


def shares(rows: Rows) -> pd.DataFrame:
    """`predicted`, `n` and `share` of the rows that were measured, one line per class."""
    counted = rows.ask(
        "SELECT predicted, count(*) AS n FROM {rows} WHERE status = 'ok' GROUP BY ALL ORDER BY predicted"
    )
    return counted.assign(share=counted["n"] / counted["n"].sum())


class PredictedShares(View):
    """A bar per class."""

    name = "predicted-shares"
    place = 15
    title = "Predicted"

    def fits(self, declared: Declaration) -> bool:
        """Where rows say which class was predicted."""
        return declared.has("predicted", "int64")

    def draw(self, shown: Shown) -> None:
        """The bars; `names` hides what may not be read yet."""
        found = shares(shown.rows)
        found["predicted"] = shown.names("predicted", found["predicted"])
        st.caption(f"n = {found['n'].sum():,}")
        st.bar_chart(found, x="predicted", y="share")
