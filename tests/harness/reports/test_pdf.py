from __future__ import annotations

import builtins
import importlib.util
import re
import zlib
from dataclasses import replace
from typing import Any

import pytest

from harness.errors import UsageError
from harness.reports.formats.pdf import render
from tests.harness.reports.inputs import HOSTILE, by_hand, compared, manifest


def _why_not() -> str:
    """Why no PDF can be drawn here; '' when one can."""
    if importlib.util.find_spec("weasyprint") is None:
        return "weasyprint is not installed"
    try:
        import weasyprint  # noqa: F401
    except OSError as error:
        return f"weasyprint finds no Pango: {error}"
    return ""


drawn = pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "weasyprint is there")


def operators(pdf: bytes) -> bytes:
    """The inflated streams of a PDF."""
    found = []
    for raw in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            found.append(zlib.decompress(raw))
        except zlib.error:
            continue
    return b"\n".join(found)


@drawn
def test_it_is_a_pdf_with_a_title_and_plots() -> None:
    pdf = render(compared())
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    page = operators(pdf)
    blue = b"0.737255 0.862745 0.960784 rg"  # the shaded stretch, #bcdcf5
    assert page.count(blue) + page.count(b"0.737") >= 2


@drawn
def test_hostile_text_makes_it_fetch_nothing() -> None:
    """Anything that were fetched would raise."""
    report = replace(by_hand(), manifest=manifest(["toy/share"], " ".join(HOSTILE[:6])))
    assert render(report).startswith(b"%PDF-")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **keys: Any) -> Any:
        if name == "weasyprint":
            raise ImportError(name)
        return real(name, *args, **keys)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UsageError, match=re.escape("pip install 'assay[pdf]'")):
        render(by_hand())


def test_without_pango_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def broken(name: str, *args: Any, **keys: Any) -> Any:
        if name == "weasyprint":
            raise OSError("cannot load library 'libpango-1.0-0'")
        return real(name, *args, **keys)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(UsageError, match="apt-get install libpango"):
        render(by_hand())
