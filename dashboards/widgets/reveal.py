"""Texts of rows stay hidden until somebody asks to see them, and who did is written down."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import streamlit as st

from dashboards.access.actor import current
from dashboards.access.noted import append
from dashboards.rows import RowFilter
from dashboards.settings import read_settings
from harness.base.language import _

LOG = "reveals.jsonl"
"""In the folder of audits: one line per session, audit and probe whose texts were shown, or asked about unseen."""


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
    return _noted(output, audit, probe)


def ordered(output: Path, audit: str, probe: str, wanted: RowFilter, hidden: Collection[str]) -> RowFilter:
    """The filter, its order by hidden texts logged: where a row stands among known ones tells of its text, too.

    Without that order where the log cannot be written.
    """
    asks = wanted.sort in hidden
    return replace(wanted, sort="") if asks and not _noted(output, audit, probe, how="sort") else wanted


def searched(output: Path, audit: str, probe: str, contains: str, *, readable: bool) -> str:
    """What hidden texts may be searched for: how many rows hold a text tells of them too, so it is logged as well.

    '' where the log cannot be written.
    """
    return contains if not contains or readable or _noted(output, audit, probe, how="search") else ""


def _noted(output: Path, audit: str, probe: str, **more: str) -> bool:
    """Whether it is in the log that somebody saw these texts; each way to see them once per session."""
    noted = st.session_state.setdefault("revealed", set())
    seen = (audit, probe, *more.values())
    if seen not in noted:
        try:
            note(output, audit, probe, current(read_settings()).name, **more)
        except OSError as error:
            st.error(_("Texts stay hidden: {file} cannot be written ({why}).", file=LOG, why=error.strerror))
            return False
        noted.add(seen)
    return True


def note(output: Path, audit: str, probe: str, user: str, **more: str) -> None:
    """Append one line. Raises OSError."""
    append(output / LOG, {"user": user, "audit": audit, "probe": probe, **more})
