from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.loglines import inert

LINE = st.text(alphabet=":#[] \tab=", max_size=12)


@given(st.lists(LINE, max_size=4).map("\n".join))
def test_no_line_is_a_command_and_nothing_else_changes(text: str) -> None:
    """A runner obeys what its own two rules find: `::` first on a line, `##[` anywhere."""
    shown = inert(text)
    for line in shown.split("\n"):
        assert not line.lstrip(" \t").startswith("::")
        assert "##[" not in line
    assert shown.replace("\u200b", "") == text


@pytest.mark.parametrize("text", ["std::string", "a ## [b]", "x: y", "tests/a.py::test_b"])
def test_ordinary_text_stays(text: str) -> None:
    assert inert(text) == text


def test_what_is_said_is_inert(capsys: pytest.CaptureFixture[str]) -> None:
    from harness.console import fail, say

    say("  ::set-output name=x::y")
    fail("label '\n::error::z' is bad ##[error]")
    out = capsys.readouterr()
    assert not re.search(r"^\s*::", out.out + out.err, re.MULTILINE)
    assert "##[" not in out.err
