"""Matthews' correlation between labels and predictions, of any number of classes, with its interval."""

from __future__ import annotations

import numpy as np

from harness.api.means import DRAWS, sums_interval
from harness.api.scorer import Floats
from harness.stats.intervals import Interval
from suites.quality.classification.calibration import Ints

_COMMON = 32
"""Labels, and predictions, that one more text may have: all pairs of a thousand classes would be a million."""


def matthews(label: Ints, predicted: Ints, classes: int, *, draws: int = DRAWS) -> tuple[float, Interval] | None:
    """Gorodkin's R_K (2004), for two classes Matthews' phi, of n > 0 texts; None where one class is all there is.

    With c texts right of s, p_k predicted and t_k labelled as k: (c s - sum p_k t_k) / sqrt((s^2 - sum p_k^2)
    (s^2 - sum t_k^2)). It has no value where all are labelled, or all predicted, as one class (some print 0 for it).
    """
    eye = np.eye(classes)
    ones, right = np.ones((len(label), 1)), (label == predicted)[:, None]
    units = np.concatenate([eye[label], eye[predicted], ones, right], axis=1)
    value = float(_of_sums(units.sum(axis=0)[None])[0])
    if np.isnan(value):
        return None
    return value, sums_interval(units, _of_sums, _farthest(units.sum(axis=0), classes), draws=draws)


def _of_sums(sums: Floats) -> Floats:
    """[k] of sums [k, 2 classes + 2]: texts by label, by prediction, all, right."""
    classes = (sums.shape[1] - 2) // 2
    t, p, s, c = sums[:, :classes], sums[:, classes : 2 * classes], sums[:, -2], sums[:, -1]
    both = (s**2 - (p**2).sum(axis=1)) * (s**2 - (t**2).sum(axis=1))
    above = c * s - (p * t).sum(axis=1)
    return np.asarray(np.divide(above, np.sqrt(np.maximum(both, 0)), out=np.full(len(s), np.nan), where=both > 1e-9))


def _farthest(sums: Floats, classes: int) -> tuple[Floats, Floats]:
    """One more text that would lower it most, and one that would raise it most, of common labels and predictions."""
    eye = np.eye(classes)
    common = sorted({*np.argsort(-sums[:classes])[:_COMMON], *np.argsort(-sums[classes : 2 * classes])[:_COMMON]})
    pairs = np.array([(a, b) for a in common for b in common])
    right = (pairs[:, 0] == pairs[:, 1])[:, None]
    units = np.concatenate([eye[pairs[:, 0]], eye[pairs[:, 1]], np.ones((len(pairs), 1)), right], axis=1)
    moved = _of_sums(sums + units)
    return units[int(np.nanargmin(moved))], units[int(np.nanargmax(moved))]
