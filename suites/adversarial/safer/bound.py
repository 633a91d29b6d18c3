"""The certificate of SAFER (Ye, Gong & Liu 2020, arXiv:2005.14424): what synonyms can take from a smoothed classifier.

A text has words x_1 … x_m. Word x has perturbation set P_x (with x itself) and synonyms S_x. The smoothed classifier
answers argmax_c g(X, c), where g(X, c) = P[f(Z) = c] and each Z_i is uniform on P_{x_i}, on its own. The attacker
puts a word of S_x for at most R of the words.

Theorem 1 of the paper, for sets of one size: with q_x = min over x' in S_x of |P_x ∩ P_x'| / |P_x| and q_X = 1 minus
the product of the R least q_x, every such X' has g(X', c) >= g(X, c) - q_X, and likewise g(X', c) <= g(X, c) + q_X. So
the answer A stays where g(X, A) - q_X > max over c != A of g(X, c) + q_X; for two classes, g(X, A) - q_X > 1/2.

Proof, for sets of any size: both differences are at most the total variation of the two product distributions, which
is 1 - Σ min = 1 - Π|P_i ∩ P_i'| / max(Π|P_i|, Π|P_i'|) <= 1 - Π(|P_i ∩ P_i'| / max(|P_i|, |P_i'|)). Hence the greater
of the two sizes stands below here, which is the paper's form where they are the same, and then is attained.

The paper bounds g by Hoeffding's inequality with the class known; here by Clopper and Pearson, with A chosen on a
sample of its own, as Cohen, Rosenfeld & Kolter 2019 (arXiv:1902.02918) do.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats.intervals import clopper_pearson

Doubles = NDArray[np.float64]
_ROUNDING = 1e-12
"""What a margin must exceed: below it floating point cannot tell it from zero."""


@dataclass(frozen=True, slots=True)
class VoteBounds:
    """With confidence 1 - alpha, all at once: g(A) >= `low`, and g(c) <= `other_high` for every other class."""

    low: float
    other_high: float

    @property
    def margin(self) -> float:
        """What g(A) surely is above every other class; not above 0 where the smoothed answer is unsure."""
        return self.low - self.other_high


def overlap(first: AbstractSet[str], second: AbstractSet[str]) -> float:
    """1 - total variation of the uniform distributions on two sets that are not empty."""
    return len(first & second) / max(len(first), len(second))


def losses(overlaps: Sequence[float]) -> Doubles:
    """q_X for R = 0 … m changed words, [m + 1], of the words' least overlaps [m]; ascends."""
    kept = np.cumprod(np.sort(np.asarray(overlaps, dtype=np.float64)))
    return np.concatenate([[0.0], 1 - kept])


def bound_votes(votes: Sequence[int], chosen: int, alpha: float) -> VoteBounds:
    """Bounds from the `votes` of each class, where `chosen` does not depend on them; one-sided Clopper-Pearson.

    Two classes need one bound. More need one each, so each has alpha / classes (Bonferroni). Raises ValueError for
    fewer than two classes or no votes.
    """
    n, classes = sum(votes), len(votes)
    if classes < 2 or n == 0:
        raise ValueError(f"{n} votes for {classes} classes bound nothing; two classes and one vote are needed")
    # the two-sided interval at level 1 - 2a has two one-sided ends of confidence 1 - a
    level = 1 - 2 * alpha / (1 if classes == 2 else classes)
    low = clopper_pearson(votes[chosen], n, level).low
    rest = 1 - low
    if classes == 2:
        return VoteBounds(low, rest)
    highs = [clopper_pearson(count, n, level).high for label, count in enumerate(votes) if label != chosen]
    return VoteBounds(low, min(rest, max(highs)))


def radius(bounds: VoteBounds, lost: Doubles) -> int | None:
    """The most words that may be changed without changing the smoothed answer, of q_X by R; None where it is unsure."""
    certified = np.flatnonzero(bounds.margin - 2 * lost > _ROUNDING)
    return int(certified[-1]) if len(certified) else None
