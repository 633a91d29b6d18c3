"""Texts of rows stay hidden until somebody asks to see them, and who did is written down."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboards.access.actor import current
from dashboards.access.noted import append
from dashboards.settings import read_settings
from harness.base.language import _

LOG = "reveals.jsonl"
"""In the folder of audits: one line per session, audit and probe whose texts were shown."""


def revealed(output: Path, audit: str, probe: str, key: str = "reveal") -> bool:
    """Asks whether to show texts, by which they are shown; the first time in a session is logged.

    Where the log cannot be written nothing is shown.
    """
    asked = st.toggle(
        _("Show texts"),
        key=key,
        help=_("Texts may be toxic or personal. Showing them is noted beside the audits."),
    )
    if not asked:
        return False
    noted = st.session_state.setdefault("revealed", set())
    if (audit, probe) not in noted:
        try:
            note(output, audit, probe, current(read_settings()).name)
        except OSError as error:
            st.error(_("Texts stay hidden: {file} cannot be written ({why}).", file=LOG, why=error.strerror))
            return False
        noted.add((audit, probe))
    return True


def note(output: Path, audit: str, probe: str, user: str) -> None:
    """Append one line. Raises OSError."""
    append(output / LOG, {"user": user, "audit": audit, "probe": probe})
