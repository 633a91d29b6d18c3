"""LiRA: how a record's confidence lies between those of models that saw it and models that did not.

Source: Carlini et al. 2022, arXiv 2112.03570. Each record was in each shadow model by a fair coin. A language model's
signal is its mean log-probability of a token, a classifier's is `confidence`.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ENOUGH_SHADOWS = 64
"""From here on each record has a variance of its own; below, the paper finds a common one better (section VI)."""
_LEAST_VARIANCE = 1e-12
"""Shadows that agree to the last bit say nothing about spread; keeps scores finite."""


class Variance(StrEnum):
    """Whose spread a record is judged by; of members and of others apart."""

    OWN = "of the record's own shadows"
    POOLED = "within records, pooled over all"
    GLOBAL = "of all records' values together, about their common mean"


def confidence(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """log(p / (1 - p)) [n] of the true class, from logits [n, classes] and class indices [n], without rounding p to 1.

    Raises ValueError for fewer than two classes and for labels that are none.
    """
    values, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if values.ndim != 2 or values.shape[1] < 2 or truth.shape != values.shape[:1]:
        raise ValueError(f"logits {values.shape} and labels {truth.shape} are not those of records with classes")
    if ((truth < 0) | (truth >= values.shape[1])).any():
        raise ValueError(f"a label lies outside the {values.shape[1]} classes")
    rows = np.arange(len(truth))
    rest = values.copy()
    rest[rows, truth] = -np.inf
    return np.asarray(values[rows, truth] - logsumexp(rest, axis=1), dtype=np.float64)


def lira_online(target: ArrayLike, shadows: ArrayLike, inside: ArrayLike, variance: Variance | None = None) -> Floats:
    """Log of the likelihood ratio in : out [n] of the target's confidences [n], by normal fits to shadows [s, n].

    `inside` [s, n] says which shadow saw which record. `variance` None: OWN from 64 shadows on, POOLED below. NaN for
    a record that no shadow, or every shadow, saw, and with OWN for fewer than two of a side. Raises ValueError for
    shapes that do not fit.
    """
    values, models, seen = _checked(target, shadows, inside)
    kind = _variance(variance, len(models))
    return _log_density(values, *_fit(models, seen, kind)) - _log_density(values, *_fit(models, ~seen, kind))


def lira_offline(target: ArrayLike, shadows: ArrayLike, inside: ArrayLike, variance: Variance | None = None) -> Floats:
    """Deviations [n] that the target lies above the shadows that did not see the record: one-sided, as in the paper.

    The paper's score is the normal distribution function of it, which orders the same and rounds to 1 beyond 8. (Its
    published code takes the two-sided density.) Else as `lira_online`.
    """
    values, models, seen = _checked(target, shadows, inside)
    mean, spread = _fit(models, ~seen, _variance(variance, len(models)))
    return np.asarray((values - mean) / np.sqrt(spread), dtype=np.float64)


def _fit(models: Floats, taken: Bools, kind: Variance) -> tuple[Floats, Floats]:
    """Mean [n] and variance [n] of each record over the models taken [s, n]; NaN where there are too few."""
    counts = taken.sum(axis=0)
    means = np.full(len(counts), np.nan)
    np.divide(np.where(taken, models, 0.0).sum(axis=0), counts, out=means, where=counts > 0)
    squares = np.where(taken, (models - means) ** 2, 0.0).sum(axis=0)
    spread = np.full(len(counts), np.nan)
    if kind is Variance.OWN:
        np.divide(squares, counts - 1, out=spread, where=counts > 1)
    elif kind is Variance.POOLED:
        freedom = int(np.maximum(counts - 1, 0).sum())
        spread[:] = squares.sum() / freedom if freedom else np.nan
    else:
        spread[:] = models[taken].var() if taken.sum() > 1 else np.nan
    return means, np.maximum(spread, _LEAST_VARIANCE)


def _log_density(values: Floats, mean: Floats, variance: Floats) -> Floats:
    return np.asarray(-((values - mean) ** 2) / (2 * variance) - np.log(2 * np.pi * variance) / 2, dtype=np.float64)


def _variance(variance: Variance | None, shadows: int) -> Variance:
    return variance or (Variance.OWN if shadows >= ENOUGH_SHADOWS else Variance.POOLED)


def _checked(target: ArrayLike, shadows: ArrayLike, inside: ArrayLike) -> tuple[Floats, Floats, Bools]:
    values, models = np.asarray(target, dtype=np.float64), np.asarray(shadows, dtype=np.float64)
    seen = np.asarray(inside, dtype=np.bool_)
    if values.ndim != 1 or models.ndim != 2 or models.shape[1:] != values.shape or seen.shape != models.shape:
        raise ValueError(f"target {values.shape}, shadows {models.shape} and who saw what {seen.shape} do not fit")
    if not (np.isfinite(values).all() and np.isfinite(models).all()):
        raise ValueError("a confidence is not finite; leave its record out")
    return values, models, seen
