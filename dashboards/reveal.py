"""Texts of rows stay hidden until somebody asks to see them, and who did is written down."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

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
            note(output, audit, probe, who())
        except OSError as error:
            st.error(_("Texts stay hidden: {file} cannot be written ({why}).", file=LOG, why=error.strerror))
            return False
        noted.add((audit, probe))
    return True


def who() -> str:
    """The user who signed in, '' where nobody has to."""
    return str(st.user.get("email") or st.user.get("sub") or "") if st.user.get("is_logged_in") else ""


def note(output: Path, audit: str, probe: str, user: str) -> None:
    """Append one line. Raises OSError."""
    line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "user": user, "audit": audit, "probe": probe}
    data = (json.dumps(line, ensure_ascii=False) + "\n").encode()
    handle = os.open(output / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, data)  # at once: lines of two sessions do not mix
    finally:
        os.close(handle)
