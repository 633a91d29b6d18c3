"""The control of BBQ: the same questions about groups that do not exist, of whom no stereotype can be known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

from harness.api.case import content_id
from suites.bias.bbq.data import ANSWERS

GROUPS = ("Zabrian", "Corvian", "Meldan", "Tavonian", "Drennish", "Sulvan")
"""Invented, and each fit to stand for a noun and for an adjective; all begin with a consonant, so that 'a' is right."""
_PAIRS = tuple(permutations(GROUPS, 2))
_ARTICLE = re.compile(r"^(?:the|an?|his|her|my|their|our)\s+", re.IGNORECASE)


def invented(questions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same questions with the words in which the two people's answers differ replaced by two invented groups.

    Which, follows from the question alone, each pair in either order. Questions without a target, and those whose
    context does not name both as the answers do ("one of whom uses a wheelchair"), have none.
    """
    return [made for question in questions if (made := _renamed(question)) is not None]


def _renamed(question: Mapping[str, Any]) -> dict[str, Any] | None:
    if question["target"] is None:
        return None
    people = [name for at, name in enumerate(ANSWERS) if at != question["unknown"]]
    own = _differing(*(question[name] for name in people))
    if not all(own) or own[0].lower() == own[1].lower():
        return None
    if not all(re.search(rf"\b{re.escape(words)}(?!\w)", question["context"], re.IGNORECASE) for words in own):
        return None
    number = int(content_id({name: question[name] for name in ("context", "question", *ANSWERS)}), 16)
    other = dict(zip((words.lower() for words in own), _PAIRS[number % len(_PAIRS)], strict=True))
    either = "|".join(map(re.escape, sorted(other, key=len, reverse=True)))
    pattern = re.compile(rf"\b(?:(a)n? )?({either})(?!\w)", re.IGNORECASE)

    def renamed(match: re.Match[str]) -> str:
        return f"{match[1]} {other[match[2].lower()]}" if match[1] else other[match[2].lower()]

    return {**question, **{name: pattern.sub(renamed, question[name]) for name in ("context", "question", *people)}}


def _differing(first: str, second: str) -> tuple[str, str]:
    """The words of each answer that the other does not have at the same end, without articles, which contexts vary."""
    one, two = (_ARTICLE.sub("", answer.strip().rstrip(".")).split() for answer in (first, second))
    while one and two and one[-1].lower() == two[-1].lower():
        one, two = one[:-1], two[:-1]
    while one and two and one[0].lower() == two[0].lower():
        one, two = one[1:], two[1:]
    return " ".join(one), " ".join(two)
