"""View: planted records one by one; their texts only where somebody asked to see them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboards.kinds.view import Declaration, Shown, View
from dashboards.memorization import canaries
from dashboards.memorization.beside import canary_list
from dashboards.memorization.drawn.exposure import GOOD
from dashboards.memorization.drawn.figure import headed
from dashboards.memorization.shapes import CANARIES, EXPOSURE, has
from dashboards.view_models.views import plain
from harness.base.language import _
from harness.errors import AssayError
from harness.record.folder import Status

_TEXTS = ("text", "pair", "secret")


class Canaries(View):
    """A table of canaries: score, guess and coin, or exposure and rank; one in full beside it."""

    name = "canaries"
    place = 23

    @property
    def title(self) -> str:
        """What readers choose it by."""
        return _("Canaries")

    def fits(self, declared: Declaration) -> bool:
        """Where rows are of canaries whose coin is known."""
        return has(declared.columns, CANARIES) or has(declared.columns, EXPOSURE)

    def draw(self, shown: Shown) -> None:
        """The table; nothing before the audit has made all its guesses."""
        if shown.audit.manifest.status is not Status.FINISHED:
            st.info(_("Canaries are shown when the audit is finished: until then no coin may be looked at."))
            return
        scored = has(shown.declared.columns, CANARIES)
        good = shown.rows.read(canaries.SCORED if scored else canaries.EXPOSED, GOOD)
        if good.empty:
            st.info(_("No canary was scored."))
            return
        found = canaries.guessed(good) if scored else canaries.exposed(good)
        if shown.readable:
            found = _with_texts(shown, found)
        event = st.dataframe(
            headed(found),
            hide_index=True,
            on_select="rerun",
            selection_mode="single-row",
            key=f"canaries-{shown.probe}-{shown.readable}",
            alt=plain(_("Canaries of {probe}", probe=shown.probe)),
        )
        picked = event["selection"]["rows"]
        if picked:
            shown.address[f"canaries.{shown.probe}"] = str(found["case_id"].iloc[picked[0]])
        _detail(shown, found)
        if not shown.readable:
            st.caption(_("Their texts are hidden. No row holds them; the training's own list is read on demand."))


def _with_texts(shown: Shown, found: pd.DataFrame) -> pd.DataFrame:
    """With the text of each canary, of the list that the training left; a sentence where it is not here."""
    try:
        texts = canaries.texts_by_case(canary_list(shown.audit), shown.audit.manifest.seed)
    except AssayError as error:
        st.warning(plain(str(error)))
        return found
    told = found.copy()
    for name in _TEXTS:
        values: list[Any] = [texts.get(case, {}).get(name) for case in found["case_id"]]
        if any(values):
            told[name] = values
    return told


def _detail(shown: Shown, found: pd.DataFrame) -> None:
    """The canary that the address names, in full."""
    case = shown.address.get(f"canaries.{shown.probe}")
    line = found[found["case_id"] == case]
    if line.empty:
        return
    st.markdown(plain(_("One canary in full")))
    for name, value in headed(line).iloc[0].items():
        st.text(f"{name}: {value}")
