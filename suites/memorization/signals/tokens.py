"""Signals of one text from the log-probabilities of its own tokens: one forward pass serves them all.

Sources: Yeom et al. 2018 (loss); Shi et al. 2023, arXiv 2310.16789 (Min-K%); Zhang et al. 2024, arXiv 2404.02936
(Min-K%++). Higher: likelier a member. Padding and the token that opens a text are left out by the caller.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LOWEST_SHARE = 0.2
"""Of tokens; the papers' own choice. Another is fixed before the scores are seen, or chosen on records apart."""
_LEAST_VARIANCE = 1e-6
"""Square nats. Differences of float32 log-probabilities err by 1e-6, so a standardised one by at most 1e-3."""


def loss(logprobs: ArrayLike) -> float:
    """Mean log-probability of tokens [t], in nats; -inf where one is impossible. Raises ValueError without tokens."""
    return float(_checked(logprobs).mean())


def min_k(logprobs: ArrayLike, share: float = LOWEST_SHARE) -> float:
    """Mean of the lowest share of log-probabilities [t], of one at least. Raises ValueError as `loss` does."""
    return _lowest_mean(_checked(logprobs), share)


def min_k_plus_plus(logprobs: ArrayLike, means: ArrayLike, variances: ArrayLike, share: float = LOWEST_SHARE) -> float:
    """Mean of the lowest share of log-probabilities [t], each standardised by `means` and `variances` [t].

    These are of log p under p at each position. Raises ValueError as `loss` does, and for moments that are not one
    for each token and finite.
    """
    values = _checked(logprobs)
    centres, spreads = np.asarray(means, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if centres.shape != values.shape or spreads.shape != values.shape:
        raise ValueError(f"{centres.shape} means and {spreads.shape} variances of {values.shape} tokens")
    if not (np.isfinite(centres).all() and np.isfinite(spreads).all()):
        raise ValueError("a mean or variance of log-probabilities is not finite")
    return _lowest_mean((values - centres) / np.sqrt(np.maximum(spreads, _LEAST_VARIANCE)), share)


def _lowest_mean(values: Floats, share: float) -> float:
    if not 0 < share <= 1:
        raise ValueError(f"the share of tokens is {share}; give a number above 0 and at most 1")
    count = max(1, int(share * len(values)))  # a text of four tokens would have none of its lowest 20 %
    return float(np.partition(values, count - 1)[:count].mean())


def _checked(logprobs: ArrayLike) -> Floats:
    values = np.asarray(logprobs, dtype=np.float64)
    if values.ndim != 1 or not values.size or np.isnan(values).any():
        raise ValueError(f"a text needs tokens with log-probabilities, {values.shape} given; leave it out")
    return values
