"""In which language pages and reports speak: English, or what a gettext catalogue here makes of it.

`_` says a literal of the code. `marked` marks one that is kept in a table and said later. `told` says what an audit
recorded in English, where the catalogue of probes knows it. What is recorded, and what machines read, stays English.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from functools import cache
from gettext import NullTranslations, translation
from pathlib import Path

CATALOGUES = Path(__file__).parent / "catalogues"
ENGLISH = "en"
LANGUAGES: Mapping[str, str] = {ENGLISH: "English", "zh": "中文"}
"""Codes (BCP 47) of the languages there are, each with its own name for itself."""
PAGES, PROBES = "assay", "probes"
"""Catalogues: what the code of pages and reports says, and what Assay's probes say of themselves."""
_language: ContextVar[str] = ContextVar("language", default=ENGLISH)


def _(text: str, **values: object) -> str:
    """`text`, an English literal, in the language spoken now; then its `{names}` are filled with `values`.

    What no catalogue knows stays English, so a page never lacks a word.
    """
    said = _said(PAGES, text)
    return said.format(**values) if values else said


def marked(text: str) -> str:
    """An English literal as it is: the catalogues take it up from here, and `_` says it where it is shown."""
    return text


def told(text: str) -> str:
    """What a probe said of itself when an audit was recorded, in the language spoken now."""
    said = _said(PROBES, text)
    return said if said != text else _said(PAGES, text)


def day(moment: date) -> str:
    """A date as this language writes it."""
    return _("{year:04}-{month:02}-{day:02}", year=moment.year, month=moment.month, day=moment.day)


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


def preferred(locale: str | None) -> str:
    """The language of LANGUAGES nearest to a browser's, such as `zh-CN`; English for all others."""
    code = (locale or "").replace("_", "-").partition("-")[0].lower()
    return code if code in LANGUAGES else ENGLISH


def _said(catalogue: str, text: str) -> str:
    spoken_now = _language.get()
    if spoken_now == ENGLISH or not text:  # gettext has the head of a catalogue under ''
        return text
    return _catalogue(catalogue, spoken_now).gettext(text)


@cache
def _catalogue(name: str, code: str) -> NullTranslations:
    return translation(name, localedir=CATALOGUES, languages=[code], fallback=True)
