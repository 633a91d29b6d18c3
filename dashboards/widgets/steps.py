"""From one case to the next, by button or arrow key."""

from __future__ import annotations

import streamlit as st

from harness.base.language import _


def step(before: str | None, after: str | None) -> None:
    """Buttons to the cases before and after; the address names the one that is shown."""
    left, right, _rest = st.columns([1, 1, 4])
    for place, label, case, key in ((left, _("Previous"), before, "left"), (right, _("Next"), after, "right")):
        if place.button(label, disabled=case is None, shortcut=key) and case is not None:
            st.query_params["case"] = case
            st.rerun()
