"""How near what was generated comes to the true suffix: edits, and BLEU; over tokens, or characters of a text.

Sources: Levenshtein 1966; Papineni et al. 2002 (BLEU), one reference, smoothed as in Chen & Cherry 2014, method 3.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

NEAR_BLEU = 0.75
"""From here on a continuation counts as a near match (Ippolito et al. 2023, arXiv 2210.17546)."""
_ORDERS = 4


def edit_distance(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Fewest items inserted, deleted or replaced that make the first the second."""
    numbers: dict[Hashable, int] = {}
    a, b = (
        np.array([numbers.setdefault(item, len(numbers)) for item in each], dtype=np.int64) for each in (first, second)
    )
    steps = np.arange(len(b) + 1)
    row = steps
    for count, item in enumerate(a, start=1):
        best = np.empty_like(row)
        best[0] = count
        best[1:] = np.minimum(row[:-1] + (b != item), row[1:] + 1)
        row = np.minimum.accumulate(best - steps) + steps  # insertions: each place costs one more than any before it
    return int(row[-1])


def edit_share(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Edit distance over the longer length: 0 where they are equal, 1 where nothing stays."""
    longer = max(len(first), len(second))
    return edit_distance(first, second) / longer if longer else 0.0


def bleu(generated: Sequence[Hashable], reference: Sequence[Hashable]) -> float:
    """BLEU from 0 to 1 of runs of up to four items, or as many as were generated; 0 without a common item."""
    logs, halvings = [], 0
    for order in range(1, min(_ORDERS, len(generated)) + 1):
        ours, theirs = _runs(generated, order), _runs(reference, order)
        common, all_runs = (ours & theirs).total(), ours.total()
        if order == 1 and common == 0:
            return 0.0
        if common == 0:
            halvings += 1
            logs.append(-math.log(2**halvings * all_runs))
        else:
            logs.append(math.log(common / all_runs))
    if not logs:
        return 0.0
    brevity = min(0.0, 1 - len(reference) / len(generated))
    return math.exp(brevity + sum(logs) / len(logs))


def _runs(items: Sequence[Hashable], order: int) -> Counter[tuple[Hashable, ...]]:
    return Counter(tuple(items[start : start + order]) for start in range(len(items) - order + 1))
