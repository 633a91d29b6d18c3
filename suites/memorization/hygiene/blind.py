"""The blind baseline of the records that are scored: which were compared, and what their rows say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from privacy.corpus.same import plain
from suites.memorization.blind.baseline import FOLDS, Blind, blind_baseline
from suites.memorization.blind.folds import auc_over_folds

Floats = NDArray[np.float64]

MOST = 1000
"""Records a side that are compared. More take longer than scoring does, and the interval reaches 0.04 with these."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A record's score by its text alone, and the fold that it was left out in."""

    score: float
    fold: int


def compared(texts: Sequence[str], members: ArrayLike, seed: int) -> list[Compared | None]:
    """One per text [n]; None for copies of another, for more than `MOST` of a side, and where a side has too few.

    Copies are left out, as a copy in another fold would give its side away with no difference in kind.
    """
    truth, rng = np.asarray(members, dtype=np.bool_), np.random.default_rng([seed, 2])
    first = {(plain(text), bool(side)): place for place, (text, side) in enumerate(zip(texts, truth, strict=True))}
    distinct = np.array(sorted(first.values()), dtype=np.int64)
    sides = [rng.permutation(distinct[truth[distinct] == side])[:MOST] for side in (True, False)]
    found: list[Compared | None] = [None] * len(texts)
    if min(map(len, sides)) < FOLDS:
        return found
    chosen = [int(place) for place in np.sort(np.concatenate(sides))]
    blind = blind_baseline([texts[place] for place in chosen], truth[chosen], seed)
    for place, score, fold in zip(chosen, blind.scores, blind.folds, strict=True):
        found[place] = Compared(float(score), int(fold))
    return found


def blind_of(scores: Floats, folds: Floats, members: NDArray[np.bool_]) -> Blind | None:
    """The baseline again, of rows [n]; NaN: not compared. None where too few were for an AUC."""
    known = ~np.isnan(scores)
    scores, folds, members = scores[known], folds[known], members[known]
    parts = [(scores[(folds == fold) & members], scores[(folds == fold) & ~members]) for fold in np.unique(folds)]
    parts = [part for part in parts if len(part[0]) and len(part[1])]  # some records may have failed
    if sum(len(part[0]) for part in parts) < 2 or sum(len(part[1]) for part in parts) < 2:
        return None
    return Blind(scores, folds.astype(np.int64), *auc_over_folds(parts), int(members.sum()), int((~members).sum()))
