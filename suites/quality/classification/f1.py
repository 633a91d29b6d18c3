"""Macro-averaged F1 with an interval that also holds where no error, or no text of a class, happened to be seen."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from harness.stats.intervals import FloatArray, Interval, Method, clopper_pearson

RARE = 0.01
"""A class of fewer texts than this share may be missing from the value unsaid; a larger one widens the interval."""
_SPARSE = 10
"""Texts per class below which the classes' distances are added up as they are: their squares do not fit so few."""


def macro_f1(
    label: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: int, level: float = 0.95
) -> tuple[float, Interval]:
    """Mean F1 over the classes that occur as a label or a prediction, each counting the same, of n > 0 texts.

    Of the texts that are labelled or predicted as a class, the share J that is both is a proportion, with Clopper and
    Pearson's interval, and F1 is 2 J / (1 + J). How far the classes' F1 reach is combined by MOVER (Zou & Donner 2008),
    the farther end both ways: a text is about two classes at most, so the variance of the sum is at most twice the sum
    of variances, and the reach never more than the sum of reaches. `classes` is how many the classifier has: while a
    class that is `RARE` could have gone unseen, those unseen may have any F1.
    """
    n, total = len(label), max(classes, int(label.max()) + 1, int(predicted.max()) + 1)
    both = np.bincount(label[label == predicted], minlength=total)
    either = np.bincount(label, minlength=total) + np.bincount(predicted, minlength=total) - both
    seen = np.flatnonzero(either)
    value = float(_f1(both[seen] / either[seen]).mean())
    reach = _combined([_reach(int(both[k]), int(either[k]), level) for k in seen], is_sparse=n < _SPARSE * len(seen))
    low, high = max(0.0, value - reach), min(1.0, value + reach)
    unseen = total - len(seen)
    if unseen and 1 - ((1 - level) / 2) ** (1 / n) > RARE:
        low, high = low * len(seen) / total, (high * len(seen) + unseen) / total
    return value, Interval(low, max(high, value), Method.MACRO_F1, level)


def _reach(both: int, either: int, level: float) -> float:
    """How far the farther end of a class's interval lies from its F1."""
    interval, value = clopper_pearson(both, either, level), float(_f1(np.array([both / either]))[0])
    low, high = _f1(np.array([interval.low, interval.high]))
    return float(max(value - low, high - value))


def _combined(reaches: list[float], *, is_sparse: bool) -> float:
    """Of the mean over classes."""
    plain = sum(reaches)
    squared = math.sqrt(2 * sum(reach**2 for reach in reaches))
    return (plain if is_sparse else min(plain, squared)) / len(reaches)


def _f1(jaccard: FloatArray) -> FloatArray:
    return np.asarray(2 * jaccard / (1 + jaccard))
