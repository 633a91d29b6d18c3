"""What is said beside the score of a group: small groups are named, and many groups are not read one by one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

SMALL = 30
"""Fewer cases than this are flagged: at one half their 95 % interval is wider than 0.37 (Clopper-Pearson)."""


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P values corrected for their number (Holm 1979): any is below alpha by chance alone with at most alpha."""
    corrected: dict[str, float] = {}
    so_far = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        so_far = max(so_far, min(1.0, (len(p_values) - rank) * p))
        corrected[name] = so_far
    return corrected


def differs_from_half(hits: Mapping[str, tuple[int, int]]) -> dict[str, float]:
    """Holm-corrected p, two-sided exact binomial, that each group's share (hits, n) is one half."""
    return holm({name: float(binomtest(k, n, 0.5).pvalue) for name, (k, n) in hits.items() if n})


def sign_test(differences: ArrayLike) -> float:
    """Two-sided exact p of as many rises as falls; differences of 0 (to 1e-12) are left out, 1 where all are."""
    values = np.asarray(differences, dtype=np.float64)
    rises, falls = int((values > 1e-12).sum()), int((values < -1e-12).sum())
    return float(binomtest(rises, rises + falls).pvalue) if rises + falls else 1.0


def group_note(part: str, n: int, corrected: Mapping[str, float], what: str = "cases") -> str:
    """Caution beside the score of a group of n: small, and what is left of it among all groups."""
    said = []
    if n < SMALL:
        said.append(f"{n} {what}, fewer than {SMALL}: a small group")
    if part in corrected and len(corrected) > 1:
        said.append(f"p of one half {corrected[part]:.2g} after Holm over {len(corrected)} groups")
    return "; ".join(said)
