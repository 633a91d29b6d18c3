"""A chart with its numbers."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboards.view_models.views import plain
from harness.base.language import _


def figure(chart: Any, words: str, numbers: pd.DataFrame) -> None:
    """Draw a chart, said in `words` to who cannot see it, over a table of its numbers to open."""
    st.altair_chart(chart, width="stretch", alt=plain(words))
    with st.expander(_("Numbers of this chart")):
        st.dataframe(headed(numbers), hide_index=True, alt=plain(words))


def headed(numbers: pd.DataFrame) -> pd.DataFrame:
    """A table headed in the language spoken now."""
    return numbers.rename(columns=_heads())


def chosen(label: str, options: list[str], named: str | None, key: str, first: str) -> str:
    """One of `options`, at first the one that the address `named`, else `first`."""
    start = named if named in options else first
    return str(st.selectbox(label, options, index=options.index(start), key=key))


def _heads() -> dict[str, str]:
    intervals = {"low": _("low"), "high": _("high"), "fpr_low": _("FPR, low"), "fpr_high": _("FPR, high")}
    secrets = {"copies": _("copies"), "mean": _("mean"), "found": _("found"), "exposure": _("exposure")}
    secrets |= {"pattern": _("pattern"), "rank": _("rank"), "among": _("among"), "secret": _("secret")}
    shares = {"side": _("side"), "x": "x", "share": _("share"), "signal": _("signal"), "members": _("members")}
    shares |= {"fpr": _("false-positive rate"), "tpr": _("true-positive rate")}
    bounds = {"what": _("what"), "shape": _("bound"), "note": _("note"), "step": _("step"), "training": _("training")}
    canaries = {"case_id": _("case"), "kind": _("kind"), "class": _("class"), "score": _("score"), "place": _("place")}
    canaries |= {"guess": _("guess"), "coin": _("coin"), "is": _("is"), "text": _("text"), "pair": _("second text")}
    return {**intervals, **secrets, **shares, **bounds, **canaries, "epsilon": _("epsilon")}
