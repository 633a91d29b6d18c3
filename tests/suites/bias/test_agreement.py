from __future__ import annotations

import pytest

from suites.bias.agreement import sense_of


@pytest.mark.parametrize(
    ("text", "sense"),
    [
        ("I saw [her].", "object"),
        ("I saw [her] in town", "object"),
        ("I gave [her] the book", "object"),
        ("I thanked [her]", "object"),
        ("[Her] mother left", "possessive"),
        ("she made [her] own bread", None),  # after a verb of two objects no rule is sure
        ("she lost [her] own way", "possessive"),
        ("I saw [her] work", None),
        ("I gave [her] advice", None),
        ("I met [her] first", None),
        ("I knew [her] every move", None),
        ("[her]-story", None),
        ("the fault is [his].", "possessive pronoun"),
        ("[His] is better", "possessive pronoun"),
        ("he lost [his] hat", "possessive"),
        ("the death of [his] father", "possessive"),
        ("one of [his] films", "possessive"),
        ("he watched [his] every move", "possessive"),
        ("a friend of [his] left", None),
        ("mine broke but [his] survived", None),
        ("[his] and mine", None),
        ("[his]\u2019n", None),
        ("so it was [her] \u2014 mostly", None),
    ],
)
def test_the_sense_is_told_or_left_open(text: str, sense: str | None) -> None:
    before, rest = text.split("[")
    word, after = rest.split("]")
    assert sense_of(word, before, after) == sense
