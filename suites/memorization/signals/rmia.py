"""RMIA: against how many random texts a record gains more from the model than they do.

Source: Zarifzadeh, Liu & Shokri 2024, arXiv 2312.03262. All chances are logs: those of sequences are too small for
numbers, and are given per token.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]


def marginal(shadows: ArrayLike, inside: ArrayLike) -> Floats:
    """Log of p(x) [n]: the mean of p over shadows that saw x, half, and over those that did not, half.

    Log-chances of records under shadows [s, n], and which saw which [s, n]. -inf counts as a chance of 0. Raises
    ValueError where all shadows saw a record, or none did.
    """
    logs, seen = np.asarray(shadows, dtype=np.float64), np.asarray(inside, dtype=np.bool_)
    if logs.ndim != 2 or logs.shape != seen.shape or seen.all(axis=0).any() or not seen.any(axis=0).all():
        raise ValueError(f"log-chances {logs.shape} of records that some shadows saw and some did not, {seen.shape}")
    halves = (logsumexp(logs, axis=0, b=part) - np.log(part.sum(axis=0)) for part in (seen, ~seen))
    return np.asarray(np.logaddexp(*halves) - np.log(2), dtype=np.float64)


def rmia(
    target: ArrayLike, marginal: ArrayLike, target_z: ArrayLike, marginal_z: ArrayLike, gamma: float = 1.0
) -> Floats:
    """Share [n] of population texts z [k] with [p(x | model) / p(x)] / [p(z | model) / p(z)] > gamma.

    Log-chances of records [n] and of texts z [k] under the target model, and their marginals as the function above
    makes them. Raises ValueError for no z, shapes that do not fit, or a gamma that is not positive.
    """
    if not gamma > 0:
        raise ValueError(f"gamma is {gamma}; give a number above 0")
    gains, others = _gain(target, marginal), np.sort(_gain(target_z, marginal_z))
    if not others.size:
        raise ValueError("no population texts to compare records with; give some that no model has seen")
    return np.asarray(np.searchsorted(others, gains - np.log(gamma), side="left") / len(others), dtype=np.float64)


def _gain(target: ArrayLike, marginal: ArrayLike) -> Floats:
    ours, all_models = np.asarray(target, dtype=np.float64), np.asarray(marginal, dtype=np.float64)
    if ours.ndim != 1 or ours.shape != all_models.shape:
        raise ValueError(f"log-chances {ours.shape} and their marginals {all_models.shape} do not fit")
    with np.errstate(invalid="ignore"):  # two infinities are refused below
        gains = ours - all_models
    if np.isnan(gains).any():
        raise ValueError("a log-chance is missing, or its marginal is 0 too; leave the record out")
    return np.asarray(gains, dtype=np.float64)
