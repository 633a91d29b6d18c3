"""From one case to the next, by button or arrow key."""

from __future__ import annotations

import streamlit as st

from harness.base.language import _


def step(before: str | None, after: str | None) -> None:
    """Buttons to the cases before and after; the address names the one that is shown."""
    place = st.container(horizontal=True)  # as wide as their words: columns cut them beside a table
    for label, case, key in ((_("Previous"), before, "left"), (_("Next"), after, "right")):
        if place.button(label, disabled=case is None, shortcut=key) and case is not None:
            st.query_params["case"] = case
            st.rerun()
