"""Which words of a text were changed into which: spans of characters, between words that stayed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import NamedTuple

_PART = re.compile(r"[\w\u200b-\u200d\u2060\ufeff]+(?:['\u2019-][\w\u200b-\u200d\u2060\ufeff]+)*|[\s\S]")
"""A word, invisible characters and inner apostrophes and hyphens included, or any other single character."""


class Span(NamedTuple):
    """`original[start:end]` became `perturbed[new_start:new_end]`; either may be empty. Offsets count characters."""

    start: int
    end: int
    new_start: int
    new_end: int


class _Part(NamedTuple):
    text: str
    start: int
    end: int
    is_word: bool


def diff_spans(original: str, perturbed: str) -> list[Span]:
    """The changed places in order, apart from each other; none where the texts are equal.

    Words are aligned by difflib; between aligned words, as many changed words as new ones in the same spacing are one
    span each, anything else (words inserted, left out, merged, split) is one span. Where that covers less, texts of the
    same spacing are compared place by place instead. What lies between spans is equal.
    """
    before, after = _parts(original), _parts(perturbed)
    aligned = [span for gap in _gaps(before, after) for span in _spans(*gap)]
    if _spacing(before) != _spacing(after):
        return aligned
    return min(list(_place_by_place(before, after)), aligned, key=_covered)


def apply_spans(original: str, perturbed: str, spans: Sequence[Span]) -> str:
    """`original` with each span replaced by its part of `perturbed`; of `diff_spans`, this is `perturbed`.

    Raises ValueError for spans that overlap or leave the texts.
    """
    pieces, at = [], 0
    for span in spans:
        if not at <= span.start <= span.end <= len(original) or not 0 <= span.new_start <= span.new_end <= len(
            perturbed
        ):
            raise ValueError(f"span {tuple(span)} overlaps the one before it or leaves the texts")
        pieces += [original[at : span.start], perturbed[span.new_start : span.new_end]]
        at = span.end
    return "".join([*pieces, original[at:]])


def spans_to_json(spans: Sequence[Span]) -> str:
    """For a column of rows: a list of lists of four numbers."""
    return json.dumps([list(span) for span in spans])


def spans_from_json(column: str) -> list[Span]:
    """Spans as `spans_to_json` wrote them."""
    return [Span(*numbers) for numbers in json.loads(column)]


def _parts(text: str) -> list[_Part]:
    return [
        _Part(found[0], found.start(), found.end(), len(found[0]) > 1 or found[0].isalnum())
        for found in _PART.finditer(text)
    ]


def _gaps(before: list[_Part], after: list[_Part]) -> Iterator[tuple[list[_Part], list[_Part], int, int]]:
    """Parts between neighbouring aligned words, in both texts, and where they start."""
    first, second = _word_places(before), _word_places(after)
    matcher = SequenceMatcher(
        None, [before[at].text for at in first], [after[at].text for at in second], autojunk=False
    )
    aligned = [
        (first[block.a + step], second[block.b + step])
        for block in matcher.get_matching_blocks()
        for step in range(block.size)
    ]
    for (left, new_left), (right, new_right) in pairwise([(-1, -1), *aligned, (len(before), len(after))]):
        yield (
            before[left + 1 : right],
            after[new_left + 1 : new_right],
            before[left].end if left >= 0 else 0,
            after[new_left].end if new_left >= 0 else 0,
        )


def _word_places(parts: list[_Part]) -> list[int]:
    return [at for at, part in enumerate(parts) if part.is_word]


def _spans(before: list[_Part], after: list[_Part], start: int, new_start: int) -> Iterator[Span]:
    """Spans within a gap, whose texts start at the given characters."""
    if [part.text for part in before] == [part.text for part in after]:
        return
    if _spacing(before) == _spacing(after):
        yield from _place_by_place(before, after)
        return
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    first, second = before[head : len(before) - tail], after[head : len(after) - tail]
    begin = before[head - 1].end if head else start
    new_begin = after[head - 1].end if head else new_start
    yield Span(begin, first[-1].end if first else begin, new_begin, second[-1].end if second else new_begin)


def _place_by_place(before: list[_Part], after: list[_Part]) -> Iterator[Span]:
    for old, new in zip(before, after, strict=True):
        if old.text != new.text:
            yield Span(old.start, old.end, new.start, new.end)


def _covered(spans: Sequence[Span]) -> int:
    """Characters of both texts."""
    return sum(span.end - span.start + span.new_end - span.new_start for span in spans)


def _spacing(parts: list[_Part]) -> list[str]:
    """The parts, with every word alike."""
    return ["" if part.is_word else part.text for part in parts]


def _common(first: Sequence[_Part], second: Sequence[_Part]) -> int:
    """How many parts both begin with."""
    same = 0
    for one, other in zip(first, second, strict=False):
        if one.text != other.text:
            break
        same += 1
    return same
