"""Confidence held against what was right: bins of a reliability diagram, and the risk-coverage curve; arrays alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats.intervals import FloatArray

BoolArray = NDArray[np.bool_]
BINS = 15
"""As many as Guo et al. (2017) take."""


def equal_mass(confidence: FloatArray, bins: int = BINS) -> NDArray[np.int64]:
    """Bin of each of n > 0, [n], with as many in each as equal confidences allow (Nguyen & O'Connor 2015)."""
    edges = np.quantile(confidence, np.arange(1, bins) / bins, method="inverted_cdf")
    return np.asarray(np.digitize(confidence, edges, right=True), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """Share answered, and share of those that is wrong, [levels] each, by falling confidence.

    Those of equal confidence are answered together: there is a level for each confidence that occurs.
    """

    coverage: FloatArray
    risk: FloatArray


def risk_coverage(confidence: FloatArray, right: BoolArray) -> RiskCoverage:
    """The curve (El-Yaniv & Wiener 2010) of n > 0."""
    answered, wrong = answered_levels(confidence, right)
    return RiskCoverage(answered / len(confidence), wrong / answered)


def answered_levels(confidence: FloatArray, right: BoolArray) -> tuple[FloatArray, FloatArray]:
    """How many are at least this sure, and how many of them are wrong, by falling confidence, [levels]."""
    _, group = np.unique(-confidence, return_inverse=True)
    levels = int(group.max()) + 1
    answered = np.cumsum(np.bincount(group, minlength=levels)).astype(np.float64)
    return answered, np.cumsum(np.bincount(group, ~right, levels))
