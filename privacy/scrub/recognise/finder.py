"""Recognisers, and all of them together: what each finds, where two overlap the surer one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from privacy.scrub.recognise.kinds import KINDS, PLACEHOLDER

_BLANK = "\ue000"
"""Stands for a character of a placeholder while it is searched: of private use, so no pattern has it."""
_WIDE = {
    ord(wide): narrow for wide, narrow in zip("０１２３４５６７８９＠．－（）＋：", "0123456789@.-()+:", strict=True)
}
"""Full-width forms, as Chinese text writes numbers; one character each, so places stay."""
_IS_WIDE = re.compile("[０-９＠．－（）＋：]")
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
"""Soft hyphen, zero-width space, joiners and byte-order mark: web pages put them into addresses so that these wrap."""
_LOOK_ALIKE = {
    **dict.fromkeys((0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " "),
    **dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2212), "-"),
    **{code: chr(code - 0xFEE0) for code in (*range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B), 0xFF3F)},
}
"""Spaces that do not break, hyphens that do not, dashes that stand for them, and full-width letters."""
_IS_ODD = re.compile(f"[{_INVISIBLE}{''.join(map(chr, _LOOK_ALIKE))}]")

Spans = Iterable[tuple[int, int]]


def as_read(text: str) -> str:
    """`text` as a reader sees it: without what is invisible, look-alikes as the letters they look like."""
    seen = "".join(letter for letter in text if letter not in _INVISIBLE)
    return seen.translate(_WIDE).translate(_LOOK_ALIKE)


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """A value in a text: characters `start` to before `end`."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Recogniser:
    """Finds one kind."""

    kind: str
    languages: frozenset[str]
    """Of the texts it is for; empty: any."""
    how: str
    """In a few words, for reports."""
    find: Callable[[str], Spans]
    """Places (start, end) in a text."""
    needs: str = ""
    """A character, or a class of a regular expression, without which there is nothing to find; for speed."""


def by_pattern(
    kind: str,
    pattern: str,
    how: str,
    *,
    check: Callable[[str], bool] = lambda value: True,
    languages: Iterable[str] = (),
    needs: str = "",
    flags: int = 0,
) -> Recogniser:
    """A recogniser of what a regular expression matches (its group `value` where it has one) and `check` accepts."""
    compiled = re.compile(pattern, flags)
    group = "value" if "value" in compiled.groupindex else 0

    def find(text: str) -> Iterator[tuple[int, int]]:
        return (match.span(group) for match in compiled.finditer(text) if check(match[group]))

    return Recogniser(kind, frozenset(languages), how, find, needs)


class Finder:
    """Several recognisers on one text. Pure: the same text gives the same findings."""

    def __init__(self, recognisers: Sequence[Recogniser], languages: Sequence[str]) -> None:
        self.languages = tuple(languages)
        self.recognisers = tuple(recognisers)
        self._needs = [re.compile(each.needs) if each.needs else None for each in recognisers]

    def find(self, text: str) -> list[Found]:
        """What is there, in order, none overlapping another, nothing inside a placeholder."""
        plain = PLACEHOLDER.sub(lambda match: _BLANK * len(match[0]), text) if "<" in text else text
        if not plain.isascii() and _IS_WIDE.search(plain):
            plain = plain.translate(_WIDE)
        found = self._found(plain)
        if not plain.isascii() and _IS_ODD.search(plain):  # besides: a dash may also end what it would lengthen
            places = [at for at, letter in enumerate(plain) if letter not in _INVISIBLE]
            found += [
                Found(places[one.start], places[one.end - 1] + 1, one.kind) for one in self._found(as_read(plain))
            ]
        return _apart([_before_blank(plain, one) for one in found]) if found else []

    def _found(self, text: str) -> list[Found]:
        """What each recogniser finds, on its own."""
        return [
            Found(start, end, each.kind)
            for each, needs in zip(self.recognisers, self._needs, strict=True)
            if needs is None or needs.search(text)
            for start, end in each.find(text)
            if end > start
        ]


def _before_blank(text: str, found: Found) -> Found:
    """Cut where a placeholder begins: what reads whole sentences may take one for a part of a name."""
    start, end = found.start, found.end
    while start < end and text[start] == _BLANK:
        start += 1
    blank = text.find(_BLANK, start, end)
    return Found(start, end if blank < 0 else blank, found.kind)


def _apart(found: Sequence[Found]) -> list[Found]:
    """The surer of two that overlap, then the longer, then the first."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda each: (KINDS.index(each.kind), each.start - each.end, each.start)):
        if one.end > one.start and all(one.end <= other.start or other.end <= one.start for other in kept):
            kept.append(one)
    return sorted(kept)
