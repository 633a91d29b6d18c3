"""A chart with its numbers."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboards.views import plain
from harness.base.language import _


def figure(chart: Any, words: str, numbers: pd.DataFrame) -> None:
    """Draw a chart, said in `words` to who cannot see it, over a table of its numbers to open."""
    st.altair_chart(chart, width="stretch", alt=plain(words))
    with st.expander(_("Numbers of this chart")):
        st.dataframe(numbers, hide_index=True, alt=plain(words))


def chosen(label: str, options: list[str], named: str | None, key: str, first: str) -> str:
    """One of `options`, at first the one that the address `named`, else `first`."""
    start = named if named in options else first
    return str(st.selectbox(label, options, index=options.index(start), key=key))
