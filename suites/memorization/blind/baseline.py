"""The blind baseline: whether members and non-members differ without the model, which makes membership unmeasurable.

Source: Das, Zhang & Tramèr 2024, arXiv 2406.16201; Meeus et al. 2024, arXiv 2406.17975. An attack that beats chance on
members and non-members that differ in kind may have learnt that difference, and no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from suites.memorization.blind.features import features
from suites.memorization.blind.folds import auc_over_folds
from suites.memorization.blind.logistic import fit_logistic

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FOLDS = 5
FEWEST = 100
"""Of a side. With fewer, differences that would explain an attack pass unseen: the interval reaches 0.11 either way."""


@dataclass(frozen=True, slots=True)
class Blind:
    """Scores of a classifier that sees the texts alone, each made without the text it is of."""

    scores: Floats
    """[n], higher: likelier a member; compare within a fold only."""
    folds: Integers
    """[n], which fold a text was in."""
    auc: float
    low: float
    high: float
    """Ends of the interval of the AUC at the level asked for."""
    members: int
    non_members: int


def blind_baseline(texts: Sequence[str], members: ArrayLike, seed: int, level: float = 0.95) -> Blind:
    """How well words, runs of characters, length and years tell which texts [n] are members [n], cross-validated.

    Raises ValueError where texts and members do not pair up, or a side has fewer texts than there are folds.
    """
    return cross_validated(features(texts), members, seed, level)


def cross_validated(rows: sparse.csr_matrix, members: ArrayLike, seed: int, level: float = 0.95) -> Blind:
    """Out-of-fold scores and AUC of logistic regression on rows [n, columns]. Raises ValueError as `blind_baseline`."""
    truth = np.asarray(members, dtype=np.bool_)
    sides = int(truth.sum()), int((~truth).sum())
    if truth.shape != (rows.shape[0],) or min(sides) < FOLDS:
        raise ValueError(f"{rows.shape[0]} texts of {sides[0]} members and {sides[1]} others; give {FOLDS} of each")
    folds = _folds(truth, seed)
    scores = np.empty(len(truth))
    for fold in range(FOLDS):
        weights, intercept = fit_logistic(rows[folds != fold], truth[folds != fold])
        scores[folds == fold] = rows[folds == fold] @ weights + intercept
    parts = [(scores[(folds == fold) & truth], scores[(folds == fold) & ~truth]) for fold in range(FOLDS)]
    return Blind(scores, folds, *auc_over_folds(parts, level), *sides)


def why_different(blind: Blind) -> str | None:
    """Why a signal of the model need not be memory; None: the texts alone were not told apart, however few they are."""
    if blind.low <= 0.5 <= blind.high:
        return None
    return (
        f"members and non-members differ without the model: words, letters, length and years alone reach an AUC of "
        f"{blind.auc:.3f} ({blind.low:.3f} to {blind.high:.3f}), so a signal need not be memory; "
        "split one pool at random"
    )


def _folds(truth: NDArray[np.bool_], seed: int) -> Integers:
    """Fold of each text, each side shared out evenly and by lot."""
    rng, folds = np.random.default_rng(seed), np.empty(len(truth), dtype=np.int64)
    for side in (True, False):
        places = rng.permutation(np.flatnonzero(truth == side))
        folds[places] = np.arange(len(places)) % FOLDS
    return folds
