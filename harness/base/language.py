"""In which language pages and reports speak: English, or what a gettext catalogue here makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from gettext import NullTranslations, translation
from pathlib import Path

CATALOGUES = Path(__file__).parent / "catalogues"
ENGLISH = "en"
_language: ContextVar[str] = ContextVar("language", default=ENGLISH)


def _(text: str, **values: object) -> str:
    """`text`, an English literal, in the language spoken now; then its `{names}` are filled with `values`.

    What no catalogue knows stays English, so a page never lacks a word.
    """
    said = _catalogue(_language.get()).gettext(text)
    return said.format(**values) if values else said


def speak(language: str) -> None:
    """From here on in this thread, pages and reports are in `language`."""
    _language.set(language)


@contextmanager
def spoken(language: str) -> Iterator[None]:
    """`speak`, for a block."""
    token = _language.set(language)
    try:
        yield
    finally:
        _language.reset(token)


def language() -> str:
    """Code of the language spoken now, such as `en` or `zh`."""
    return _language.get()


@cache
def _catalogue(code: str) -> NullTranslations:
    return translation("assay", localedir=CATALOGUES, languages=[code], fallback=True)
