"""Addresses of pages: what is shown, and the language where the browser would not choose it by itself."""

from __future__ import annotations

from contextvars import ContextVar
from urllib.parse import urlencode

LANGUAGE = "lang"
"""In an address, e.g. `?lang=zh`."""
_named: ContextVar[str] = ContextVar("named", default="")


def name_language(code: str) -> None:
    """From here on in this thread, addresses name this language; '': none, the browser's own is meant."""
    _named.set(code)


def link(page: str, **query: str) -> str:
    """Address of a page, relative to the dashboard's root, for one audit, probe or case; it keeps the language."""
    kept = {LANGUAGE: _named.get()} if _named.get() else {}
    return f"{page}?{urlencode({**query, **kept})}"
