from __future__ import annotations

import ast
import subprocess
import sys
from datetime import date
from pathlib import Path
from string import Formatter

import pytest
from babel.dates import format_date
from babel.messages.catalog import Message
from babel.messages.mofile import read_mo
from babel.numbers import format_decimal

from harness.base.language import ENGLISH, LANGUAGES, PAGES, PROBES, _, day, preferred, spoken, told
from tests.catalogues.collect import ROOMS, ROOT, collected, po_path, read

OTHERS = [code for code in LANGUAGES if code != ENGLISH]
MOST_UNTOLD = 0.1
"""Share of the probes' texts that may wait for a translator: a probe may come before its translation."""


def messages(name: str, language: str) -> dict[str, Message]:
    return {str(message.id): message for message in read(name, language) if message.id}


def holes(text: str) -> list[tuple[str, str]]:
    """Its placeholders, with how they are written."""
    return sorted((name, spec or "") for _literal, name, spec, _conversion in Formatter().parse(text) if name)


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_of_the_code_has_a_translation(language: str) -> None:
    known, said = messages(PAGES, language), {str(message.id) for message in collected(PAGES) if message.id}
    assert sorted(said - {text for text, message in known.items() if message.string}) == [], "run make catalogues"
    assert sorted(known.keys() - said) == [], "gone from the code; run make catalogues"


@pytest.mark.parametrize("language", OTHERS)
def test_nearly_every_text_of_a_probe_has_one(language: str) -> None:
    known, said = messages(PROBES, language), {str(message.id) for message in collected(PROBES) if message.id}
    untold = said - {text for text, message in known.items() if message.string}
    assert len(untold) <= MOST_UNTOLD * len(said), sorted(untold)


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("name", [PAGES, PROBES])
def test_a_translation_has_the_placeholders_of_its_text(name: str, language: str) -> None:
    days = "{year:04}-{month:02}-{day:02}"  # how a day is written is what differs
    for text, message in messages(name, language).items():
        if message.string and text != days and name == PAGES:
            assert holes(str(message.string)) == holes(text), text
        assert not message.fuzzy, text


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("name", [PAGES, PROBES])
def test_what_gettext_reads_is_what_the_translator_wrote(name: str, language: str) -> None:
    with po_path(name, language).with_suffix(".mo").open("rb") as file:
        read_back = {str(message.id): message.string for message in read_mo(file) if message.id}
    written = {text: message.string for text, message in messages(name, language).items() if message.string}
    assert read_back == written, "run make catalogues"


def test_every_literal_that_is_said_is_collected() -> None:
    """What stands within an f-string is passed over when texts are collected."""
    said = set()
    for path in (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "marked"):
                said |= {arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    assert len(said) > 300
    assert said - {str(message.id) for message in collected(PAGES)} == set()


def test_days_are_written_as_the_locale_writes_them() -> None:
    moment = date(2026, 1, 5)
    assert day(moment) == moment.isoformat()
    with spoken("zh"):
        assert day(moment) == format_date(moment, "long", locale="zh") == "2026年1月5日"


@pytest.mark.parametrize("value", [1234567.5, 0.062, -3])
def test_no_number_is_written_otherwise_so_none_is_translated(value: float) -> None:
    written = {format_decimal(value, locale=code) for code in LANGUAGES}
    assert written == {f"{value:,}"}


def test_a_catalogue_speaks_and_english_says_what_the_code_says() -> None:
    assert _("{n} of {all} gates blocked", n=1, all=3) == "1 of 3 gates blocked"
    with spoken("zh"):
        assert _("{n} of {all} gates blocked", n=1, all=3) == "3 项门禁中 1 项阻断"
        assert _("") == told("") == ""
        assert told("what nobody has translated") == "what nobody has translated"


@pytest.mark.parametrize(
    ("locale", "code"),
    [("zh-CN", "zh"), ("zh_Hant_TW", "zh"), ("en-GB", "en"), ("de", "en"), ("", "en"), (None, "en"), ("ZH", "zh")],
)
def test_a_browser_gets_the_nearest_language(locale: str | None, code: str) -> None:
    assert preferred(locale) == code


def test_a_wheel_holds_the_catalogues(tmp_path: Path) -> None:
    setup = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q"]
    packed = ["egg_info", "--egg-base", str(tmp_path), "build_py", "--build-lib", str(tmp_path / "lib")]
    subprocess.run([*setup, *packed], cwd=ROOT, check=True, capture_output=True)
    for name in (PAGES, PROBES):
        assert (tmp_path / "lib" / po_path(name, "zh").with_suffix(".mo").relative_to(ROOT)).is_file()
