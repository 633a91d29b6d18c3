"""The one temperature that would have made the probabilities of other texts likeliest (Guo et al. 2017)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from harness.api.metrics import RowValues
from harness.api.scorer import Bools, Floats
from suites.quality.classification.calibration import Ints

SEED = 0
"""Of the split; fixed, so that two audits of the same texts fit on the same half."""
LEAST, MOST = 0.02, 50.0
"""Temperatures tried: beyond them probabilities are one-hot or even, and the texts do not tell which."""
_FLAT = 1e-9
"""Slopes of the NLL that are none: where all texts are right it only flattens as the temperature falls."""
FEWEST = 20
"""Texts in a half below which nothing is fitted: what so few say of a temperature is mostly noise."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The temperature, and what each text of the half it was fitted on adds to it."""

    temperature: float
    values: RowValues


def fitting_half(case_ids: Iterable[str]) -> Bools:
    """Which texts the temperature is fitted on, [n]: half of them, by a digest of the id alone.

    Repeats of a text, whose ids differ in their suffix, are in the same half.
    """
    stems = (case_id.partition("-")[0] for case_id in case_ids)
    return np.array([hashlib.sha256(f"{SEED}:{stem}".encode()).digest()[0] % 2 == 0 for stem in stems], dtype=np.bool_)


def log_probabilities(probabilities: Floats) -> Floats:
    """Logits up to a constant per text; a probability that underflowed is the smallest double."""
    return np.asarray(np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)))


def rescaled(logits: Floats, temperature: float) -> Floats:
    """Log-probabilities [n, classes] at a temperature."""
    return np.asarray(log_softmax(logits / temperature, axis=1))


def fit_temperature(logits: Floats, label: Ints) -> Fitted | None:
    """The temperature with the least mean NLL; None where it lies at the end of what is tried, as where all are right.

    The NLL is convex in b = 1 / T with derivative g_i = sum_c p_c z_c - z_label and curvature h_i = Var_p(z) of text i.
    At the optimum sum g_i = 0, so b = sum(h_i b - g_i) / sum(h_i): a ratio of sums, whose interval is the temperature's
    to first order. `values` has the ratio's sign turned, so that T = -1 / (-b) increases.
    """
    from scipy.optimize import brentq

    rows = np.arange(len(label))

    def derivatives(log_b: float) -> tuple[Floats, Floats]:
        """The derivative g and the curvature h of each text, [n] each."""
        p = np.exp(log_softmax(logits * np.exp(log_b), axis=1))
        mean = (p * logits).sum(axis=1)
        return mean - logits[rows, label], (p * logits**2).sum(axis=1) - mean**2

    def mean_slope(log_b: float) -> float:
        return float(derivatives(log_b)[0].mean())

    ends = (float(np.log(1 / MOST)), float(np.log(1 / LEAST)))
    if mean_slope(ends[0]) >= -_FLAT or mean_slope(ends[1]) <= _FLAT:
        return None
    found = float(brentq(mean_slope, *ends, xtol=1e-12))
    b = float(np.exp(found))
    slope, bend = derivatives(found)
    above = -(bend * b - slope)
    return Fitted(1 / b, RowValues(above, np.maximum(bend, 0.0), finish=_inverse))


def _inverse(minus_b: Floats) -> Floats:
    """-1 / (-b); a sum that is not below 0 has no temperature: none is too large."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.where(minus_b < 0, -1 / np.minimum(minus_b, -1e-12), np.inf))
