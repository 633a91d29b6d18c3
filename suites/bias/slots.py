"""Where words stand among the tokens of a sentence, so that they can be hidden or swapped."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from harness.api.scorer import Scorer

Ids = tuple[int, ...]
Span = tuple[int, int]

NEUTRAL = ("visitor", "neighbor", "resident", "passenger", "member", "guest", "stranger", "citizen", "participant")
"""Nouns for people without an occupation or a group: what a control says instead of them."""


def differing(first: Ids, second: Ids) -> tuple[Span, Span]:
    """The spans in which two token rows differ: what is left between their common beginning and their common end."""
    most = min(len(first), len(second))
    start = next((at for at in range(most) if first[at] != second[at]), most)
    rest = most - start
    end = next((at for at in range(rest) if first[-1 - at] != second[-1 - at]), rest)
    return (start, len(first) - end), (start, len(second) - end)


def located(scorer: Scorer, text: str, spans: Sequence[Span]) -> tuple[Ids, list[Span]] | str:
    """Tokens of `text` without special ones, and the span of them that each span of characters became.

    Spans are in order and do not overlap. A string says why a span is none of whole tokens: the pieces, each with the
    blank before it, are tokenised alone and must give the tokens of the whole.
    """
    cuts = sorted({0, len(text), *(_with_blank(text, start) for start, _ in spans), *(end for _, end in spans)})
    pieces = [scorer.encode(text[a:b], special=False) for a, b in pairwise(cuts)]
    whole = scorer.encode(text, special=False)
    if tuple(token for piece in pieces for token in piece) != whole:
        return "the tokenizer joins a word with its surroundings, so that it cannot be hidden alone"
    ends = dict(zip(cuts, [0, *_running(pieces)], strict=True))
    found = [(ends[_with_blank(text, start)], ends[end]) for start, end in spans]
    if any(start == end for start, end in found):
        return "the tokenizer makes no token of a word"
    return whole, found


def _with_blank(text: str, start: int) -> int:
    """Where the blank before a word begins: byte-level tokenizers make it part of the word."""
    return start - 1 if start and text[start - 1] == " " else start


def _running(pieces: Sequence[Ids]) -> list[int]:
    total, found = 0, []
    for piece in pieces:
        total += len(piece)
        found.append(total)
    return found
