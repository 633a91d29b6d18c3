from __future__ import annotations

import pytest

from suites.quality.cells import json_named, json_strings, one_or_more


@pytest.mark.parametrize(
    ("cell", "strings", "texts"),
    [
        ('["a", "b c", " "]', ["a", "b c", " "], ["a", "b c"]),
        ("[]", [], []),
        ("[1, 2]", None, ["[1, 2]"]),
        ("[sic] a text", None, ["[sic] a text"]),
        (" plain ", None, [" plain "]),
        ("  ", None, []),
        ('{"text": ["a", ""], "answer_start": ["1", "2"]}', None, ["a"]),
        ('{"text": [], "answer_start": []}', None, []),
        ('{"text": "a"}', None, ['{"text": "a"}']),
        ("{a} text", None, ["{a} text"]),
        ("[" * 100_000, None, ["[" * 100_000]),  # deeper than the reader goes
    ],
)
def test_a_cell_is_a_list_or_a_text(cell: str, strings: list[str] | None, texts: list[str]) -> None:
    assert json_strings(cell) == strings
    assert one_or_more(cell) == texts


def test_lists_under_names_need_one_called_text() -> None:
    assert json_named('{"text": ["a"], "label": ["A"]}') == {"text": ["a"], "label": ["A"]}
    assert json_named('{"label": ["A"]}') is None
    assert json_named('{"text": [1]}') is None


def test_an_empty_cell_holds_none() -> None:
    assert one_or_more(None) == one_or_more(float("nan")) == []
