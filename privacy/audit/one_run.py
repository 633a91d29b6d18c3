"""A lower bound on epsilon from one training run with canaries that were planted by fair coins.

Steinke, Nasr & Jagielski 2023 (arXiv 2305.08846), theorem 5.2: of an (epsilon, delta) private training the number of
right guesses exceeds that of independent coins with bias e^eps / (1 + e^eps) with a probability of at most
2 m delta max_i P[v > B >= v - i] / i more. It holds however canaries depend on each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import binom

_LARGEST = 64.0
"""No larger epsilon is looked for: e^64 canaries would be needed to show one."""
_STEPS = 40
"""Halvings of [0, 64]: to 1e-10."""


@dataclass(frozen=True, slots=True)
class LowerBound:
    """What guesses prove: the training is (epsilon, delta) private for no epsilon below `epsilon`.

    Attributes:
        epsilon: 0 where nothing is proven.
        delta: of the claim that it is read beside.
        confidence: how often a bound like this holds, at least.
        canaries: m, coins thrown.
        guesses: r, canaries a guess was made for.
        right: v, guesses that were right.
        method: whose bound it is.
        ceiling: the most that so many canaries could have shown, had every guess been right.
        heuristic: whether it holds only under an assumption that nobody checked.
    """

    epsilon: float
    delta: float
    confidence: float
    canaries: int
    guesses: int
    right: int
    method: str
    ceiling: float
    heuristic: bool = False


def one_run_bound(*, canaries: int, guesses: int, right: int, delta: float, confidence: float = 0.95) -> LowerBound:
    """The largest epsilon that these guesses rule out. `guesses` must have been fixed before the coins were seen.

    Raises ValueError for counts that cannot be, or a delta or confidence outside [0, 1) or (0, 1).
    """
    _check(canaries, guesses, right, delta, confidence)
    found = _largest(canaries, guesses, right, delta, 1 - confidence)
    most = ceiling(canaries, delta=delta, confidence=confidence)
    return LowerBound(found, delta, confidence, canaries, guesses, right, "Steinke et al. 2023", most)


@lru_cache(maxsize=256)
def ceiling(canaries: int, *, delta: float, confidence: float = 0.95) -> float:
    """What the bound comes to where every canary is guessed right: no attack can show more with so many.

    Under a delta above 0 fewer guesses can prove more, so the best number of them is looked for.
    """
    counts = np.unique(np.geomspace(1, canaries, num=24).astype(int)) if delta > 0 else np.array([canaries])
    return max(_largest(canaries, int(count), int(count), delta, 1 - confidence) for count in counts)


def p_value(epsilon: float, canaries: int, guesses: int, right: int, delta: float) -> float:
    """At most how likely so many right guesses are for a training that is (epsilon, delta) private."""
    if right <= 0:
        return 1.0
    bias = 1 / (1 + math.exp(-epsilon))
    chance = float(binom.sf(right - 1, guesses, bias))
    if delta > 0:
        steps = np.arange(1, right + 1)
        between = binom.cdf(right - 1, guesses, bias) - binom.cdf(right - steps - 1, guesses, bias)
        chance += 2 * canaries * delta * float((between / steps).max())
    return min(1.0, chance)


def _largest(canaries: int, guesses: int, right: int, delta: float, alpha: float) -> float:
    """The largest epsilon with a p value of at most alpha; 0 where there is none."""
    if p_value(0.0, canaries, guesses, right, delta) > alpha:
        return 0.0
    low, high = 0.0, _LARGEST
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if p_value(middle, canaries, guesses, right, delta) <= alpha:
            low = middle
        else:
            high = middle
    return low


def _check(canaries: int, guesses: int, right: int, delta: float, confidence: float) -> None:
    if not 0 <= right <= guesses <= canaries:
        raise ValueError(f"{right} right of {guesses} guesses on {canaries} canaries cannot be")
    if not 0 <= delta < 1:
        raise ValueError(f"delta {delta} is not in [0, 1)")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not in (0, 1)")
