from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from harness.base.loglines import LONGEST, clean, inert
from harness.cli.console import console, fail, say

LINE = st.text(alphabet=":#[] \tab=\r\x0b\x0c\x1c\x85\u2028\u00a0\u3000\u1680\ufeff\u200e", max_size=12)
BLANKS = ["\r", "\x0c", "\x0b", "\x1c", "\x85", "\u00a0", "\u3000", "\u2003", "\u2028", "\ufeff", "\x1b[0m"]
STEERING = ["\x1b[2J", "\x9b31m", "\x07", "\x08" * 5, "\u202eevil", "\u2066x\u2069", "\x00", "\u200b", "\ud800"]


def trimmed(line: str) -> str:
    """As the most generous runner trims: all that is no visible character."""
    kept = [at for at, char in enumerate(line) if unicodedata.category(char)[0] not in "ZC" and not char.isspace()]
    return line[kept[0] :] if kept else ""


@given(st.lists(LINE, max_size=4).map("\n".join))
def test_no_line_is_a_command_and_nothing_else_changes(text: str) -> None:
    """A runner obeys what its own rules find: `::` first on a trimmed line, `##[` anywhere."""
    shown = inert(text)
    for line in shown.splitlines():
        assert not trimmed(line).startswith("::")
        assert "##[" not in line
    assert shown.replace("\u200b", "") == text.replace("\u200b", "")
    assert inert(shown) == shown


@pytest.mark.parametrize("blank", BLANKS)
def test_blanks_before_a_command_do_not_hide_it(blank: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(f"{blank}::set-output name=x::y")
    fail(
        f"label '\n{blank}::error::z' is bad ##[error] ##vso[task.setvariable]x section_start:1:a "
        "##teamcity[x] travis_fold:a"
    )
    out = capsys.readouterr()
    for line in (out.out + out.err).splitlines():
        assert not trimmed(line).startswith("::")
        assert not re.search(r"##\w*\[|section_start:|travis_fold:", line)


@pytest.mark.parametrize("text", ["std::string", "a ## [b]", "x: y", "tests/a.py::test_b", "naïve façade – 日本語 🙂"])
def test_ordinary_text_stays(text: str) -> None:
    assert inert(text) == text
    assert clean(text) == text


@pytest.mark.parametrize("steering", STEERING)
def test_what_steers_a_terminal_is_written_out_wherever_it_is_printed(
    steering: str, capsys: pytest.CaptureFixture[str]
) -> None:
    say(f"architecture {steering}Model")
    fail(f"index {steering}")
    table = Table(f"head {steering}")
    table.add_row(f"cell {steering}")
    console.print(table)
    shown = capsys.readouterr()
    for char in shown.out + shown.err:
        assert char in "\n" or unicodedata.category(char) not in {"Cc", "Cf", "Cs"}, repr(char)
    assert shown.out.count(f"\\{clean(steering)[1:4]}") >= 3


def test_what_is_too_long_to_read_is_cut_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    say("x" * 20_000_000)
    shown = capsys.readouterr().out
    assert len(shown) < LONGEST + 100
    assert f"({20_000_000 - LONGEST:,} characters left out)" in shown


def test_a_stream_that_lacks_a_character_gets_it_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    say("naïve \udc80 name")
    sys.stdout.flush()
    assert raw.getvalue().decode("ascii").strip() == "na\\xefve \\udc80 name"


def test_colons_that_only_a_colour_parts_end_nothing() -> None:
    assert inert(":\x1b[0m:x\n::error::y").splitlines() == [":\x1b[0m:x", ":\u200b:error::y"]
