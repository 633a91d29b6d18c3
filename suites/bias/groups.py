"""What is said beside the score of a group: small groups are named, and many groups are not read one by one."""

from __future__ import annotations

from collections.abc import Mapping

from suites.bias.multiple import holm

SMALL = 30
"""Fewer cases than this are flagged: at one half their 95 % interval is wider than 0.37 (Clopper-Pearson)."""


def differs_from_half(hits: Mapping[str, tuple[int, int]]) -> dict[str, float]:
    """Holm-corrected p, two-sided exact binomial, that each group's share (hits, n) is one half."""
    from scipy.stats import binomtest

    return holm({name: float(binomtest(k, n, 0.5).pvalue) for name, (k, n) in hits.items() if n})


def group_note(part: str, n: int, corrected: Mapping[str, float], what: str = "cases") -> str:
    """Caution beside the score of a group of n: small, and what is left of it among all groups."""
    said = []
    if n < SMALL:
        said.append(f"{n} {what}, fewer than {SMALL}: a small group")
    if part in corrected and len(corrected) > 1:
        said.append(f"p of one half {corrected[part]:.2g} after Holm over {len(corrected)} groups")
    return "; ".join(said)
