"""How far what was written is from what it should have been."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

NEAR = 0.1
"""Edits per token of the suffix up to which a continuation is near-verbatim: 5 of 50 tokens."""


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Tokens at the start that are the same in both."""
    pairs = zip(first, second, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def overlap(generated: Sequence[int], suffix: Sequence[int]) -> float:
    """Share of the suffix's tokens that were generated, wherever they stand (each generated token counts once)."""
    return (Counter(generated) & Counter(suffix)).total() / len(suffix)


def edits(generated: Sequence[int], suffix: Sequence[int]) -> float:
    """Tokens to insert, delete or replace (Levenshtein 1966), over the longer of the two: 0 equal, 1 nothing alike."""
    longest = max(len(generated), len(suffix))
    return _levenshtein(generated, suffix) / longest if longest else 0.0


def _levenshtein(first: Sequence[int], second: Sequence[int]) -> int:
    """A row of the table per token of `first`; insertions run along it, so their least is taken by accumulation."""
    other, places = np.asarray(second, dtype=np.int64), np.arange(len(second) + 1)
    row = places.copy()
    for count, token in enumerate(first, start=1):
        changed = np.concatenate([[count], np.minimum(row[1:] + 1, row[:-1] + (other != token))])
        row = np.minimum.accumulate(changed - places) + places
    return int(row[-1])
