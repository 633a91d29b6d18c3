"""Selective prediction: what a classifier gets wrong if it answers only the texts it is surest of; arrays alone."""

from __future__ import annotations

import numpy as np

from harness.api.scorer import Bools, Floats
from harness.stats.confidence import answered_levels

COVERAGES = (0.8, 0.9, 0.95)


def aurc_terms(confidence: Floats, right: Bools) -> Floats:
    """What each text adds to the area under the risk-coverage curve, [n]; their mean is the area.

    The area is the mean over k of the share wrong among the k surest (Geifman, Uziel & El-Yaniv 2019). A wrong text at
    rank i is in the shares of k = i, ..., n, so it adds sum 1/k; among equals the mean of their places, as if they
    stood in random order.
    """
    n = len(confidence)
    order = np.argsort(-confidence, kind="stable")
    weight = np.cumsum((1 / np.arange(1, n + 1))[::-1])[::-1]
    _, group = np.unique(-confidence[order], return_inverse=True)
    mean = np.bincount(group, weight) / np.bincount(group)
    terms = np.zeros(n)
    terms[order] = mean[group]
    return np.asarray(np.where(right, 0.0, terms))


def most_a_text_adds(n: int) -> float:
    """The largest term of `aurc_terms`: that of the surest of n texts, if it is wrong."""
    return float((1 / np.arange(1, n + 1)).sum())


def answered_at(confidence: Floats, right: Bools, coverage: float) -> tuple[int, int]:
    """How many are right, and how many there are, of the surest texts that are at least this share of all."""
    answered, wrong = answered_levels(confidence, right)
    level = int(np.searchsorted(answered, coverage * len(confidence) - 1e-9))
    return int(answered[level] - wrong[level]), int(answered[level])
