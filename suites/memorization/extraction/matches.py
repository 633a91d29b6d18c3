"""Which tokens of a suffix were generated, from its start and anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Tokens at the start that are the same in both."""
    pairs = zip(first, second, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def overlap(generated: Sequence[int], suffix: Sequence[int]) -> float:
    """Share of the suffix's tokens that were generated, wherever they stand (each generated token counts once)."""
    return (Counter(generated) & Counter(suffix)).total() / len(suffix)
