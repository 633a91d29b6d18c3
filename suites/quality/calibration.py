"""Formulas of quality/classification, as statistics of row weights [draws, n], so that the bootstrap can share them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.scorer.api import Bools, Floats
from harness.stats import FloatArray, Statistic

BINS = 15
Ints = npt.NDArray[np.int64]


def negative_log_likelihood(logits: Floats, label: int) -> float:
    """-log softmax(logits)[label] in nats; finite even where that probability underflows to 0."""
    return float(np.logaddexp.reduce(logits) - logits[label])


def brier_terms(probabilities: Floats, label: Ints) -> Floats:
    """Sum over classes c of (p_c - 1[label = c])^2 of each row, [n]; from 0 to 2 (Brier 1950)."""
    wanted = np.eye(probabilities.shape[1])[label]
    return np.asarray(((probabilities - wanted) ** 2).sum(axis=1))


def macro_f1(label: Ints, predicted: Ints) -> Statistic:
    """Mean F1 over the classes that occur as a label or a prediction (in the draw), each counting the same."""
    classes = np.union1d(label, predicted)
    is_label = (label[:, None] == classes).astype(np.float64)
    is_predicted = (predicted[:, None] == classes).astype(np.float64)

    def statistic(weights: FloatArray) -> FloatArray:
        hits = weights @ (is_label * is_predicted)
        seen = weights @ is_label + weights @ is_predicted
        f1 = np.divide(2 * hits, seen, out=np.zeros_like(hits), where=seen > 0)
        return np.asarray(f1.sum(axis=1) / (seen > 0).sum(axis=1))

    return statistic


def expected_calibration_error(confidence: Floats, right: Bools) -> Statistic:
    """Weighted mean over bins (lo, hi] of equal width of |accuracy - mean confidence| (Guo et al. 2017)."""
    bins = np.digitize(confidence, np.linspace(0, 1, BINS + 1), right=True)
    gaps = (bins[:, None] == np.arange(1, BINS + 1)) * (right - confidence)[:, None]

    def statistic(weights: FloatArray) -> FloatArray:
        return np.asarray(np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1))

    return statistic
