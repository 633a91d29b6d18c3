"""RMIA: against how many random texts a record gains more from the model than they do.

Source: Zarifzadeh, Liu & Shokri 2024, arXiv 2312.03262. All chances are logs: those of sequences are too small for
numbers, and are given per token.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]


def marginal_online(inside: ArrayLike, outside: ArrayLike) -> Floats:
    """Log of p(x) [n]: the mean of p over models that saw x, log-chances [s, n], and over models that did not."""
    return np.asarray(np.logaddexp(_mean(inside), _mean(outside)) - np.log(2), dtype=np.float64)


def marginal_offline(outside: ArrayLike, a: float) -> Floats:
    """Log of p(x) [n], p = ((1 + a) p_out + 1 - a) / 2, from models [s, n] that did not see x.

    `a` in [0, 1] says how far a model that saw x would be from 1; it is tuned on a pair of reference models, never on
    the target. Raises ValueError for another `a`.
    """
    if not 0 <= a <= 1:
        raise ValueError(f"a is {a}; give a number from 0 to 1")
    with np.errstate(divide="ignore"):  # a = 1 leaves p_out alone
        rest = np.log1p(-a)
    return np.asarray(np.logaddexp(np.log1p(a) + _mean(outside), rest) - np.log(2), dtype=np.float64)


def rmia(
    target: ArrayLike, marginal: ArrayLike, target_z: ArrayLike, marginal_z: ArrayLike, gamma: float = 1.0
) -> Floats:
    """Share [n] of population texts z [k] with [p(x | model) / p(x)] / [p(z | model) / p(z)] > gamma.

    Log-chances of records [n] and of texts z [k] under the target model, and their marginals by one of the functions
    above, the same for both. Raises ValueError for no z, shapes that do not fit, or a gamma that is not positive.
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


def _mean(logs: ArrayLike) -> Floats:
    """Log of the mean chance [n] over models [s, n]; raises ValueError without models."""
    values = np.asarray(logs, dtype=np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"log-chances of reference models are [models, records], {values.shape} given")
    return np.asarray(logsumexp(values, axis=0) - np.log(len(values)), dtype=np.float64)
