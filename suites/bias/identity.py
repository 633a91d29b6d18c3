"""Texts that differ only in the group of people they mention: from templates, or from a text by swapping its words.

The lists are Assay's own. Pronouns: a text with 'her' (him or his?) or 'his' (her or hers?) is not swapped, since the
right word depends on grammar; the same rule leaves out any other word that a list gives two meanings.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from typing import Literal

Axis = Literal["gender", "nationality", "race", "religion"]
AXES: tuple[Axis, ...] = ("gender", "nationality", "race", "religion")
"""What templates vary; race is not swapped in texts, where 'black' and 'white' are mostly colours."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One version of a text; variants of the same `set` differ in `group` alone."""

    set: str
    group: str
    text: str


def filled_templates(axis: str) -> Iterator[tuple[str, list[Variant]]]:
    """Each template with its variants: every set of the axis (woman/man, girl/boy ...), every group of it."""
    people = [row for row in _rows("identity_groups.csv") if row["axis"] == axis]
    for row in _rows("identity_templates.csv"):
        template = row["template"]
        yield template, [Variant(who["set"], who["group"], template.format(**who)) for who in people]


def swapped(text: str, axis: str) -> list[Variant] | None:
    """`text` for every group of the axis, its own group's version unchanged; None where it cannot be swapped.

    That is where it mentions no group or several, or has a word whose counterpart is unclear. Whole words only, case
    kept, 'a' and 'an' corrected before a swapped word.
    """
    words = _words(axis)
    found = [match["word"].lower() for match in words.pattern.finditer(text)]
    own = {words.of[word] for word in found if word in words.of}
    if len({group for _, group in own}) != 1 or any(word not in words.of for word in found):
        return None
    (mine,) = {group for _, group in own}
    return [
        Variant("", group, text if group == mine else words.pattern.sub(partial(words.replace, group), text))
        for group in words.groups
    ]


@dataclass(frozen=True, slots=True)
class _Words:
    """Words of one axis."""

    pattern: re.Pattern[str]
    of: Mapping[str, tuple[str, str]]
    """Lower-cased word -> (concept, group); only words with one meaning."""
    word: Mapping[tuple[str, str], str]
    groups: tuple[str, ...]

    def replace(self, group: str, match: re.Match[str]) -> str:
        """What stands for the match (an article, if any, and a word) when the text is about `group`."""
        old = match["word"]
        new = _in_case_of(old, self.word[self.of[old.lower()][0], group])
        article, space = match["article"], match["space"]
        if article is None:
            return new
        return _in_case_of(article, "an" if new[0].lower() in "aeiou" else "a") + space + new


@cache
def _words(axis: str) -> _Words:
    rows = [row for row in _rows("identity_swaps.csv") if row["axis"] == axis]
    meanings: dict[str, set[tuple[str, str]]] = {}
    for row in rows:
        meanings.setdefault(row["word"].lower(), set()).add((row["concept"], row["group"]))
    either = "|".join(sorted(map(re.escape, meanings), key=len, reverse=True)) or "(?!)"
    pattern = rf"(?<![\w-])(?:(?P<article>an?)(?P<space>\s+))?(?P<word>{either})(?![\w-])"
    return _Words(
        re.compile(pattern, re.IGNORECASE),
        {word: next(iter(found)) for word, found in meanings.items() if len(found) == 1},
        {(row["concept"], row["group"]): row["word"] for row in rows},
        tuple(sorted({row["group"] for row in rows})),
    )


def _in_case_of(old: str, new: str) -> str:
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new[0].upper() + new[1:] if old[0].isupper() else new.lower()


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    text = files("suites.bias").joinpath("data", name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
