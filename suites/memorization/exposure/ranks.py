"""Exposure by rank: log2 of the candidates over the canary's rank among them (Carlini et al. 2019, arXiv 1802.08232).

Losses are summed over a secret's tokens, lower is likelier, and all secrets fill the same template: equal formats may
have different numbers of tokens, so means do not compare. Ties count against the canary's being exposed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.intervals import clopper_pearson

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Way(StrEnum):
    """How an exposure was come by."""

    EXACT = "rank among all candidates"
    SAMPLED = "rank among candidates drawn at random"
    EXTRAPOLATED = "skew-normal fitted to candidates drawn at random"


@dataclass(frozen=True, slots=True)
class Exposure:
    """Exposure of one canary, in bits."""

    bits: float
    low: float
    high: float
    """Ends of the interval at the level asked for; `low` and `bits` are equal where the rank is exact."""
    way: Way
    references: int
    """Candidates that it was compared with."""
    at_least: bool
    """Whether so many candidates can show no more: the exposure may be larger."""


def ranks(canaries: ArrayLike, references: ArrayLike) -> Integers:
    """Rank [c] of each canary's loss [c] among the references' [n]: 1 + how many are at most as large.

    Raises ValueError for losses that are NaN, and without references.
    """
    ours, others = np.asarray(canaries, dtype=np.float64), np.sort(np.asarray(references, dtype=np.float64))
    if not others.size or np.isnan(ours).any() or np.isnan(others).any():
        raise ValueError("a rank needs references, and losses that are no NaN")
    return np.asarray(np.searchsorted(others, ours, side="right") + 1, dtype=np.int64)


def exact(canaries: ArrayLike, others: ArrayLike) -> list[Exposure]:
    """Exposure of each canary [c] where `others` [n] are the losses of all other candidates there are."""
    size = np.size(others) + 1
    found = np.log2(size) - np.log2(ranks(canaries, others))
    return [Exposure(float(bits), float(bits), float(bits), Way.EXACT, size - 1, False) for bits in found]


def sampled(canaries: ArrayLike, references: ArrayLike, space: float = math.inf, level: float = 0.95) -> list[Exposure]:
    """Exposure of each canary [c] from references [n] drawn at random out of a space of that many candidates.

    log2 n - log2 rank: at most log2 n, and a little below 0 for the last rank. The interval is Clopper-Pearson's of the
    share of the space that is at most as large; it reaches log2 of the space where no reference is.
    """
    n = np.size(references)
    found = []
    for rank in ranks(canaries, references):
        share = clopper_pearson(int(rank) - 1, n, level)
        bits = math.log2(n) - math.log2(rank)
        high = -math.log2(share.low) if share.low > 0 else math.log2(space)
        low = min(bits, -math.log2(share.high))
        found.append(Exposure(bits, low, max(bits, min(high, math.log2(space))), Way.SAMPLED, n, rank == 1))
    return found
