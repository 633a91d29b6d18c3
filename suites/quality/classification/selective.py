"""Selective prediction: what a classifier gets wrong if it answers only the texts it is surest of; arrays alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.api.scorer import Bools, Floats

COVERAGES = (0.8, 0.9, 0.95)


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """Share of texts answered, and share of those that is wrong, [levels] each, by falling confidence.

    Texts of equal confidence are answered together: there is a level for each confidence that occurs.
    """

    coverage: Floats
    risk: Floats


def risk_coverage(confidence: Floats, right: Bools) -> RiskCoverage:
    """The curve (El-Yaniv & Wiener 2010) of n > 0 texts."""
    answered, wrong = _levels(confidence, right)
    return RiskCoverage(answered / len(confidence), wrong / answered)


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
    answered, wrong = _levels(confidence, right)
    level = int(np.searchsorted(answered, coverage * len(confidence) - 1e-9))
    return int(answered[level] - wrong[level]), int(answered[level])


def _levels(confidence: Floats, right: Bools) -> tuple[Floats, Floats]:
    """Texts at least this sure, and how many of them are wrong, by falling confidence, [levels]."""
    _, group = np.unique(-confidence, return_inverse=True)
    levels = int(group.max()) + 1
    answered = np.cumsum(np.bincount(group, minlength=levels)).astype(np.float64)
    return answered, np.cumsum(np.bincount(group, ~right, levels))
