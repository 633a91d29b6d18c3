"""AUC of scores that were made fold by fold: scores of two folds come from two models and are never compared."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.intervals import FloatArray, z_of


def auc_over_folds(folds: Sequence[tuple[ArrayLike, ArrayLike]], level: float = 0.95) -> tuple[float, float, float]:
    """AUC within folds, each (positives, negatives), and both ends of its interval by DeLong's placements (1988).

    A positive's placement is the share of its fold's negatives that it exceeds, ties half; positives count alike
    whatever their fold. The variance is doubled: every two folds meet twice, each as the test of a model that the other
    trained, and where there is nothing to learn both meetings err the same way (undoubled, 14 % of intervals then miss
    one half). Raises ValueError for a fold without a score on a side or
    with NaN, and for fewer than two scores of a side.
    """
    above, below = zip(*(_placements(*fold) for fold in folds), strict=True) if folds else ((), ())
    positives, negatives = (np.concatenate(each) if each else np.empty(0) for each in (above, below))
    if min(len(positives), len(negatives)) < 2:
        raise ValueError(f"AUC needs two scores on each side, {len(positives)} and {len(negatives)} given")
    value = float(positives.mean())
    variance = positives.var(ddof=1) / len(positives) + negatives.var(ddof=1) / len(negatives)
    reach = z_of(level) * math.sqrt(2 * variance)
    return value, max(0.0, value - reach), min(1.0, value + reach)


def _placements(positives: ArrayLike, negatives: ArrayLike) -> tuple[FloatArray, FloatArray]:
    high, low = np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
    if not high.size or not low.size or np.isnan(high).any() or np.isnan(low).any():
        raise ValueError("AUC needs at least one score on each side of a fold and no NaN")
    return _share_below(high, low), 1 - _share_below(low, high)


def _share_below(scores: FloatArray, others: FloatArray) -> FloatArray:
    ordered = np.sort(others)
    both = np.searchsorted(ordered, scores, side="left") + np.searchsorted(ordered, scores, side="right")
    return np.asarray(both / (2 * len(ordered)), dtype=np.float64)
