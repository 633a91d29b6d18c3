"""Metrics of quality/consistency, from its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from harness.api.declared import By, Computed, Declared, MeanOf, Named, Rows, ShareOf, of
from harness.api.estimates import UNIT
from harness.api.metrics import Better, Metric
from harness.stats.intervals import FloatArray
from suites.quality.consistency.spread import BOUNDS, largest_move

PARAPHRASE = "paraphrase"
_BY_KIND = By(("kind",))


def _commonest(rows: Rows) -> str:
    """What a model that always gives one answer would look like."""
    firsts = rows.counted.drop_duplicates("group")["predicted"].map(lambda predicted: int(predicted[0]))
    return f"one answer is given to {100 * float(firsts.value_counts(normalize=True).max()):.0f} % of the texts"


def moves(label: pd.Series[Any], predicted: pd.Series[Any], kind: pd.Series[str]) -> FloatArray:
    """Right in the other form less right as given, [n]: -1, 0 or 1; NaN for paraphrases and without a label."""
    found = [
        np.nan
        if pd.isna(true) or what == PARAPHRASE
        else float(int(answers[-1]) == int(true)) - float(int(answers[0]) == int(true))
        for true, answers, what in zip(label, predicted, kind, strict=True)
    ]
    return np.asarray(found, dtype=np.float64)


def _largest(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    mine = named["largest_accuracy_change"]
    values = moves(rows.good["label"], rows.good["predicted"], rows.good["kind"])
    known = ~np.isnan(values)
    kinds = rows.good["kind"].to_numpy()
    by_kind = {str(kind): values[known & (kinds == kind)] for kind in sorted(set(kinds[known]))}
    found = largest_move(by_kind)
    note = f"of {len(by_kind)} changes: {found.change}, on {len(by_kind[found.change])} texts; the largest of several"
    yield mine.value(found.value, found.interval, int(known.sum()), missing=rows.missing, note=note)


CONSISTENCY: tuple[Declared, ...] = (
    MeanOf(
        *("agreement", Better.HIGHER, "agreement"),
        bounds=UNIT,
        clusters="group",
        slices=_BY_KIND,
        note=_commonest,
    ),
    ShareOf("all_same_rate", Better.HIGHER, "same", clusters="group", slices=_BY_KIND),
    MeanOf(
        *("spread", Better.LOWER, "spread"),
        bounds=UNIT,
        clusters="group",
        slices=_BY_KIND,
        note="most less least probability, over the forms of a text, of the answer given to the first",
    ),
    MeanOf(
        *("accuracy_change", Better.NEITHER, of(moves, "label", "predicted", "kind")),
        bounds=BOUNDS,
        about=of(lambda label, kind: label.notna() & (kind != PARAPHRASE), "label", "kind"),
        clusters="group",
        slices=_BY_KIND,
        headline=False,
        note="share right in the other form less share right as given",
    ),
    Computed(
        (Named("largest_accuracy_change", Better.LOWER, bounds=UNIT),),
        _largest,
        about=of(lambda label, kind: label.notna() & (kind != PARAPHRASE), "label", "kind"),
    ),
    ShareOf("truncated_rate", Better.LOWER, of(lambda cut: cut > 0, "truncated"), clusters="group", headline=False),
)
