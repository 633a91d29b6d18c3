"""View: exposure of planted secrets by how often they stood in the records."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboards.kinds.view import Declaration, Shown, View
from dashboards.memorization import exposure
from dashboards.memorization.charts import exposure_chart
from dashboards.memorization.drawn.figure import figure
from dashboards.memorization.shapes import EXPOSURE, has
from dashboards.rows import RowFilter, Rows
from harness.base.language import _

GOOD = RowFilter(status="ok")


class Exposure(View):
    """A dot per secret, and the mean of each number of copies."""

    name = "exposure"
    place = 20

    @property
    def title(self) -> str:
        """What readers choose it by."""
        return _("Exposure by copies")

    def fits(self, declared: Declaration) -> bool:
        """Where rows are of secrets that were planted or not, and say how exposed each is."""
        return has(declared.columns, EXPOSURE)

    def draw(self, shown: Shown) -> None:
        """The chart, or why there is none."""
        points, means, most = _kept(shown.key, shown.rows)
        if points.empty:
            st.info(_("No secret was ranked."))
            return
        points, means = (
            frame.replace({"copies": {exposure.NOT_PLANTED: _("not planted")}}) for frame in (points, means)
        )
        words = _("Exposure of planted secrets by how often they stood in the records.")
        figure(exposure_chart(points, means, most), words, means)
        st.caption(
            _(
                "Small dots: secrets. Large dot and line: mean with its 95 % interval. A model that prefers nothing "
                "has 1.44 bits; what was not planted is the control."
            )
        )


@st.cache_data(max_entries=32, show_spinner=False)
def _kept(key: object, _rows: Rows) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    good = _rows.read(exposure.COLUMNS, GOOD)
    if good.empty:
        return pd.DataFrame(), pd.DataFrame(), 0.0
    return exposure.points(good), exposure.means(good), exposure.most(good)
