"""View: how many windows of text a model gives away, by samples, by length, by copies and by prefix."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboards import cache
from dashboards.kinds.view import Declaration, Shown, View
from dashboards.memorization import extraction
from dashboards.memorization.charts import bars_chart, shares_chart
from dashboards.memorization.drawn.exposure import GOOD
from dashboards.memorization.drawn.figure import chosen, figure
from dashboards.memorization.shapes import EXTRACTION, has
from dashboards.rows import Rows
from dashboards.settings import read_settings
from dashboards.view_models.views import plain
from harness.base.language import _

_P = ("0.1", "0.5", "0.9")


class Extraction(View):
    """Curves of shares of windows, texts beside their control."""

    name = "extraction"
    place = 21

    @property
    def title(self) -> str:
        """What readers choose it by."""
        return _("Extraction curves")

    def fits(self, declared: Declaration) -> bool:
        """Where rows are of windows with the chance of their suffix and how far the model got."""
        return has(declared.columns, EXTRACTION)

    def draw(self, shown: Shown) -> None:
        """The curves, or why there are none."""
        place = f"extraction.{shown.probe}"  # by probe: a page may show several
        p = chosen(_("Chance p"), list(_P), shown.address.get(place), f"extraction-{shown.probe}", "0.5")
        shown.address[place] = p
        samples, lengths = _kept(shown.key, float(p), shown.rows)
        if samples.empty:
            st.info(_("No window was scored."))
            return
        left, right = st.columns(2)
        with left:
            title = _("samples drawn")
            st.markdown(plain(_("One of n samples is the text, with a chance of {p} or more", p=p)))
            figure(shares_chart(samples, title, logarithmic=True), _("Share extracted by samples drawn."), samples)
        with right:
            st.markdown(plain(_("The model goes on as the text does, greedily, for so long")))
            figure(shares_chart(lengths, _("tokens")), _("Share extracted by length."), lengths)
        st.caption(_("Bands: 95 % at each point, over texts. control: texts that the model cannot have seen."))
        _by_copies(shown)
        _by_prefix(shown)


def _by_copies(shown: Shown) -> None:
    copies = extraction.by_copies(shown.metrics, shown.probe)
    if copies.empty:
        st.info(
            _("No curve by copies: the audit did not count the suffixes in the training text. Give it an index of it.")
        )
        return
    st.markdown(plain(_("By copies of the suffix in the training text")))
    figure(bars_chart(copies, _("copies")), _("Share extracted by copies of the suffix."), copies)


def _by_prefix(shown: Shown) -> None:
    entries, _problem = cache.entries(read_settings())
    audits = [entry.audit for entry in entries if entry.audit is not None]
    prefixes = extraction.by_prefix(audits, shown.probe, shown.audit.manifest.checkpoint.weights)
    if prefixes["x"].nunique() < 2:
        st.caption(
            _("For a curve by length of the prefix audit these weights again with another prefix_tokens of this probe.")
        )
        return
    st.markdown(plain(_("By tokens of the prefix, an audit of these weights each")))
    figure(shares_chart(prefixes, _("tokens of the prefix")), _("Share extracted by length of the prefix."), prefixes)


@st.cache_data(max_entries=32, show_spinner=False)
def _kept(key: object, p: float, _rows: Rows) -> tuple[pd.DataFrame, pd.DataFrame]:
    good = _rows.read(extraction.COLUMNS, GOOD)
    if good.empty:
        return pd.DataFrame(), pd.DataFrame()
    return extraction.by_samples(good, p), extraction.by_length(good)
