"""(n, p)-extraction: the chance that n samples hold the true suffix, from one forward pass instead of sampling.

Source: Hayes et al. 2025, arXiv 2410.19482, after Carlini et al. 2023 (discoverable extraction): a suffix is
(n, p)-extractable if 1 - (1 - p_z)^n >= p, with p_z the chance of one sample, which is what a
SequenceChanceRequest asks for.
"""

from __future__ import annotations

import math


def chance_in(draws: int, logprob: float) -> float:
    """Chance that at least one of so many samples is the suffix whose log-probability, summed over tokens, is given.

    Exact for chances that 1 - (1 - p)^n would round to 0. Raises ValueError for less than no draw or a chance above 1.
    """
    _check(logprob)
    if draws < 0:
        raise ValueError(f"{draws} draws; give 0 or more")
    if logprob == 0:
        return float(draws > 0)
    return -math.expm1(draws * math.log1p(-math.exp(logprob)))


def _check(logprob: float) -> None:
    if not logprob <= 0:
        raise ValueError(f"a log-probability is {logprob}; it is at most 0")
