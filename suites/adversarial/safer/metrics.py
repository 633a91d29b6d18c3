"""What the rows of adversarial/safer add up to.

Abstaining counts as wrong. A text certified for all its words with synonyms is certified for any number of changes.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pandas as pd

from harness.api.declared import Declared, RatioOf, Rows, ShareOf, of
from harness.api.estimates import POSITIVE
from harness.api.metrics import Better

CHANGES = (1, 2, 4, 8)
"""Numbers of changed words of the slices of certified_accuracy."""


def safer_metrics() -> tuple[Declared, ...]:
    """Accuracy of the classifier, of the smoothed one, and certified; abstentions; how large the attack's room is."""
    right = ("label", "smoothed_predicted", "abstained")
    return (
        ShareOf("clean_accuracy", Better.HIGHER, of(operator.eq, "label", "predicted"), note=_limits),
        ShareOf(
            *("smoothed_accuracy", Better.HIGHER, of(_right, *right)),
            note=lambda rows: f"abstaining counts as wrong; {_each(rows)}",
        ),
        ShareOf("certified_accuracy", Better.HIGHER, of(_certified, *right, "certified"), note=_what),
        *(_certified_for(most, right) for most in CHANGES),
        ShareOf(
            *("abstention_rate", Better.LOWER, of(lambda abstained: abstained.astype(bool), "abstained")),
            note="texts whose answer is not certain enough to be given",
        ),
        ShareOf(
            *("certifiable_share", Better.NEITHER, of(lambda lost: lost.astype("float64") < 0.5, "lost")),
            headline=False,
            note="texts that some classifier could be certified on: their sets overlap enough, q_X < 1/2",
        ),
        RatioOf(
            *("synonyms_per_word", Better.NEITHER, of(operator.sub, "set_words", "substitutable_words")),
            *("substitutable_words",),
            unit="words",
            bounds=POSITIVE,
            headline=False,
        ),
        RatioOf(*("substitutable_words", Better.NEITHER, "substitutable_words", "words"), unit="rate", headline=False),
    )


def _certified_for(most: int, right: tuple[str, ...]) -> ShareOf:
    """Right and certified whichever `most` words an attacker changes."""

    def certified(
        label: pd.Series[Any], predicted: pd.Series[Any], abstained: pd.Series[Any], radius: Any, reach: Any
    ) -> pd.Series[bool]:
        held = radius.astype("Int64").fillna(-1).astype("int64") >= np.minimum(reach.astype("int64"), most)
        found: pd.Series[bool] = _right(label, predicted, abstained) & held
        return found

    return ShareOf(
        *("certified_accuracy", Better.HIGHER, of(certified, *right, "radius", "substitutable_words")),
        slice=f"{most} changed word{'s' if most > 1 else ''}",
        note=_each,
    )


def _right(label: pd.Series[Any], predicted: pd.Series[Any], abstained: pd.Series[Any]) -> pd.Series[bool]:
    return (label.astype("int64") == predicted.astype("int64")) & ~abstained.astype(bool)


def _certified(
    label: pd.Series[Any], predicted: pd.Series[Any], abstained: pd.Series[Any], certified: pd.Series[Any]
) -> pd.Series[bool]:
    return _right(label, predicted, abstained) & certified.astype(bool)


def _each(rows: Rows) -> str:
    alpha = " and ".join(f"{value:g}" for value in sorted(rows.good["alpha"].unique()))
    return f"each text's answer and certificate hold but for a chance of {alpha}"


def _what(rows: Rows) -> str:
    """What the certificate is about, without which its number means nothing."""
    good = rows.good
    most = {"any number" if pd.isna(value) else f"at most {int(value)}" for value in good["changed_words"].unique()}
    tables = " and ".join(sorted(good["synonyms"].unique()))
    return (
        f"of the smoothed classifier, right whichever synonyms replace {' or '.join(sorted(most))} of the words, so a "
        f"lower bound of its accuracy after such attacks; {_each(rows)}; synonyms: {tables}"
    )


def _limits(rows: Rows) -> str:
    limits = {
        "cut to their first words": rows.good["words_cut"] > 0,
        "longer than the model reads": rows.good["truncated"] > 0,
    }
    return ", ".join(f"{int(hit.sum())} {what}" for what, hit in limits.items() if hit.any())
