"""Tests of many groups at once, so that one of twenty groups is not found apart by chance alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values (Holm 1979): at most alpha where step-down rejects at alpha, whatever depends on what."""
    adjusted, largest = {}, 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def sign_test(differences: ArrayLike) -> float:
    """Two-sided exact p-value of as many rises as falls; differences of 0 (to 1e-12) are left out, 1 where all are."""
    values = np.asarray(differences, dtype=np.float64)
    rises, falls = int((values > 1e-12).sum()), int((values < -1e-12).sum())
    from scipy.stats import binomtest

    return float(binomtest(rises, rises + falls).pvalue) if rises + falls else 1.0
