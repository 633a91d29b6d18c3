"""Formulas of quality/classification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from harness.api.means import DRAWS, exponential_sums
from harness.api.scorer import Bools, Floats
from harness.stats.confidence import BINS
from harness.stats.intervals import Interval, Method

_KNOWN, _KNOWN_TEXTS = 4.0, 20
"""Standard errors from 0, and texts, from which on a bin's sign is taken to be known."""
Ints = npt.NDArray[np.int64]
Binned = Callable[[Floats], Ints]
"""The bin of each confidence."""


def negative_log_likelihood(logits: Floats, label: int) -> float:
    """-log softmax(logits)[label] in nats; finite even where that probability underflows to 0."""
    return float(np.logaddexp.reduce(logits) - logits[label])


def brier_terms(probabilities: Floats, label: Ints) -> Floats:
    """Sum over classes c of (p_c - 1[label = c])^2 of each row, [n]; from 0 to 2 (Brier 1950)."""
    wanted = np.eye(probabilities.shape[1])[label]
    return np.asarray(((probabilities - wanted) ** 2).sum(axis=1))


@dataclass(frozen=True, slots=True)
class Calibration:
    """The expected calibration error: debiased, as published, and the interval that holds the true one."""

    value: float
    plug_in: float
    interval: Interval


def equal_width(confidence: Floats) -> Ints:
    """Bin (lo, hi] of each text, [n], all as wide (Guo et al. 2017)."""
    return np.clip(np.digitize(confidence, np.linspace(0, 1, BINS + 1), right=True), 1, BINS) - 1


def calibration_error(
    confidence: Floats, right: Bools, binned: Binned = equal_width, *, level: float = 0.95, draws: int = DRAWS
) -> Calibration:
    """Weighted mean over bins of |accuracy - mean confidence| (Guo et al. 2017), n > 0.

    The plug-in counts noise as miscalibration. `value` takes off what noise adds at the gaps seen, in closed form what
    Kumar, Liang & Ma (2019) draw. The interval is of the error of all texts, in these bins. Upwards: the error is the
    largest mean of +-(right - confidence) over signs by bin, so Gaffke's bound at the signs seen bounds it. Downwards:
    the plug-in is above the error by at most the sum over bins of the noise's size; where a gap is so large that its
    sign is known, by the noise itself.
    """
    bins = binned(confidence)
    gaps = right.astype(np.float64) - confidence
    columns = np.zeros((len(gaps), BINS + 1))
    columns[np.arange(len(gaps)), bins], columns[:, BINS] = gaps, 1.0
    seen = columns[:, :BINS].mean(axis=0)
    plug_in = float(np.abs(seen).sum())
    counts, hits = (np.asarray(np.bincount(bins, each, BINS), dtype=np.float64) for each in (None, right))
    value = max(0.0, plug_in - float(_noise(counts, hits, seen).sum()))
    totals, extra = exponential_sums(columns, draws)
    weights = totals[:, BINS] + extra
    noise, unseen = totals[:, :BINS] / weights[:, None] - seen, extra / weights
    sign = np.where(seen >= 0, 1.0, -1.0)
    spread = np.sqrt(np.maximum((columns[:, :BINS] ** 2).mean(axis=0) - seen**2, 0) / len(gaps))
    known = (np.abs(seen) > _KNOWN * spread) & (counts >= _KNOWN_TEXTS)
    above = np.where(known, -sign * noise, np.abs(noise)).sum(axis=1) + unseen
    low = plug_in - float(np.quantile(above, (1 + level) / 2))
    high = plug_in + float(np.quantile(noise @ sign + unseen, (1 + level) / 2))
    interval = Interval(
        max(0.0, min(low, value)), min(1.0, max(high, value)), f"{Method.CALIBRATION}, {draws} draws", level
    )
    return Calibration(value, plug_in, interval)


def _noise(counts: Floats, hits: Floats, seen: Floats) -> Floats:
    """What noise adds to each |gap| on average, if the true one were the one seen: E|N(g, s)| - |g|, at its weight.

    The variance is that of the share right, with one more text right as often as the bin's confidence says: a bin whose
    texts are all right is not without noise.
    """
    n, size = counts.sum(), np.maximum(counts, 1)
    confidence = hits / size - seen * n / size
    share = (hits + confidence) / (counts + 1)
    spread = np.sqrt(np.maximum(share * (1 - share), 0) / size) * counts / n
    gap = np.abs(seen)
    z = np.divide(gap, spread, out=np.zeros(BINS), where=spread > 0)
    noise = spread * np.sqrt(2 / np.pi) * np.exp(-z * z / 2) - 2 * gap * ndtr(-z)
    return np.where(spread > 0, noise, 0.0)
