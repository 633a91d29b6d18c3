"""Texts spoilt on purpose, without a model: typing and scanning errors, look-alike and invisible characters.

Severity is the share of words changed, of the words that a kind can change, rounded up. The words of a lower severity
are among those of a higher one, changed in the same way, so that a curve over severities compares like with like.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from suites.adversarial.typos.tables import HOMOGLYPHS, KEYBOARD, MARKS, OCR, ZERO_WIDTH

Kind = Literal["keyboard", "ocr", "swap", "drop", "repeat", "case", "punctuation", "homoglyph", "zero_width"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_SPACED = re.compile(r"\S+")
_SHORTEST = 4
"""Letters of the shortest word whose inner letters are mistyped (Pruthi et al. 2019): its ends stay as they are."""


@dataclass(frozen=True, slots=True)
class Edit:
    """`text[start:end]` becomes `new`."""

    start: int
    end: int
    new: str


@dataclass(frozen=True, slots=True)
class Corrupted:
    """A spoilt text, how many words were changed, of how many that the kind can change, by how many edits."""

    text: str
    changed: int
    changeable: int
    edits: int


Place = list[Edit]
"""The ways to change a text in one place, one of which is drawn."""
Places = Callable[[str, int, int], list[Place]]
"""The places of one word, text[start:end]."""


def corrupt(text: str, kind: Kind, severities: Sequence[float], seed: int, edits_per_word: int = 1) -> list[Corrupted]:
    """`text` at each severity (0 to 1). At 0, and where no word can be changed, it stays as it is.

    A chosen word gets `edits_per_word` edits, or as many as it has room for. Raises ValueError for a severity outside
    0 to 1.
    """
    words = _drawn(text, kind, seed, edits_per_word)
    found = []
    for severity in severities:
        if not 0 <= severity <= 1:
            raise ValueError(f"a severity is a share of words from 0 to 1, not {severity}")
        chosen = words[: math.ceil(severity * len(words) - 1e-9)]
        edits = sorted((edit for word in chosen for edit in word), key=lambda edit: edit.start)
        found.append(Corrupted(_applied(text, edits), len(chosen), len(words), len(edits)))
    return found


def count_words(text: str) -> int:
    """Words with a letter; digits and signs alone are no words."""
    return sum(1 for _ in _words(text))


def changed_spans(text: str, spoilt: str) -> list[tuple[int, int, int, int]]:
    """Where words between blanks differ: start and end in `text`, start and end in `spoilt`.

    Raises ValueError where the two have different numbers of words: no kind joins or parts words.
    """
    pairs = zip(_SPACED.finditer(text), _SPACED.finditer(spoilt), strict=True)
    return [(*old.span(), *new.span()) for old, new in pairs if old.group() != new.group()]


def _drawn(text: str, kind: Kind, seed: int, edits_per_word: int) -> list[list[Edit]]:
    """The edits of every word that can be changed, in random order of words."""
    rng = random.Random(seed)
    found = [_apart(places, rng, edits_per_word) for word in _words(text) if (places := _PLACES[kind](text, *word))]
    rng.shuffle(found)
    return found


def _apart(places: list[Place], rng: random.Random, most: int) -> list[Edit]:
    """At most `most` edits in places drawn at random that do not touch the same characters."""
    chosen: list[Edit] = []
    for place in rng.sample(places, len(places)):
        edit = rng.choice(place)
        if len(chosen) < most and all(_disjoint(edit, other) for other in chosen):
            chosen.append(edit)
    return chosen


def _disjoint(one: Edit, other: Edit) -> bool:
    return one.start != other.start and (one.end <= other.start or other.end <= one.start)


def _applied(text: str, edits: Sequence[Edit]) -> str:
    """`text` with disjoint edits, sorted by start."""
    parts, at = [], 0
    for edit in edits:
        parts += [text[at : edit.start], edit.new]
        at = edit.end
    return "".join(parts) + text[at:]


def _words(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _WORD.finditer(text) if any(map(str.isalpha, match.group())))


def _inner(text: str, start: int, end: int) -> Iterator[int]:
    """Places of the inner letters of a word that is long enough."""
    return (at for at in range(start + 1, end - 1) if end - start >= _SHORTEST and text[at].isalpha())


def _keyboard(text: str, start: int, end: int) -> list[Place]:
    return [
        [Edit(at, at + 1, _in_case_of(text[at], key)) for key in KEYBOARD[text[at].lower()]]
        for at in _inner(text, start, end)
        if text[at].lower() in KEYBOARD
    ]


def _ocr(text: str, start: int, end: int) -> list[Place]:
    return [
        [Edit(at, at + size, new) for new in OCR[text[at : at + size]]]
        for size in (1, 2)
        for at in range(start, end + 1 - size)
        if text[at : at + size] in OCR
    ]


def _swap(text: str, start: int, end: int) -> list[Place]:
    inner = set(_inner(text, start, end))
    return [
        [Edit(at, at + 2, text[at + 1] + text[at])]
        for at in sorted(inner)
        if at + 1 in inner and text[at] != text[at + 1]
    ]


def _drop(text: str, start: int, end: int) -> list[Place]:
    return [[Edit(at, at + 1, "")] for at in _inner(text, start, end)]


def _repeat(text: str, start: int, end: int) -> list[Place]:
    return [[Edit(at, at + 1, 2 * text[at])] for at in _inner(text, start, end)]


def _case(text: str, start: int, end: int) -> list[Place]:
    word = text[start:end]
    new = word.lower() if word.isupper() else word.upper()
    return [[Edit(start, end, new)]] if new != word else []


def _punctuation(text: str, start: int, end: int) -> list[Place]:
    """The mark after a word goes, or one comes where a blank or nothing follows; not inside 'e.g.' or 'U.S'."""
    after, beyond = text[end : end + 1], text[end + 1 : end + 2]
    if after and after in MARKS and not beyond.isalnum():
        return [[Edit(end, end + 1, "")]]
    return [[Edit(end, end, mark) for mark in MARKS]] if not after.strip() else []


def _homoglyph(text: str, start: int, end: int) -> list[Place]:
    return [[Edit(at, at + 1, HOMOGLYPHS[text[at]])] for at in range(start, end) if text[at] in HOMOGLYPHS]


def _zero_width(text: str, start: int, end: int) -> list[Place]:
    return [[Edit(at, at, mark) for mark in ZERO_WIDTH] for at in range(start + 1, end)]


def _in_case_of(old: str, new: str) -> str:
    return new.upper() if old.isupper() else new


_PLACES: Mapping[Kind, Places] = {
    "keyboard": _keyboard,
    "ocr": _ocr,
    "swap": _swap,
    "drop": _drop,
    "repeat": _repeat,
    "case": _case,
    "punctuation": _punctuation,
    "homoglyph": _homoglyph,
    "zero_width": _zero_width,
}

_LONG = f"no word has {_SHORTEST} characters with an inner letter"
WHY_NOT: Mapping[Kind, str] = {
    "keyboard": f"{_LONG} from a to z",
    "ocr": "no word has a shape that scans confuse",
    "swap": f"{_LONG} beside a different one",
    "drop": _LONG,
    "repeat": _LONG,
    "case": "no word has a letter with two cases",
    "punctuation": "no word has a mark or a blank after it",
    "homoglyph": "no word has a letter with a look-alike",
    "zero_width": "no word has two characters",
}
"""Why a kind cannot change a text."""
