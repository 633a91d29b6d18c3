"""What the rows of adversarial/safer add up to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from harness.api.estimates import POSITIVE, UNIT, all_missing, estimate, share, usable
from harness.api.metrics import Better, Metric, RowValues

METRICS = {
    "clean_accuracy": Better.HIGHER,
    "smoothed_accuracy": Better.HIGHER,
    "certified_accuracy": Better.HIGHER,
    "abstention_rate": Better.LOWER,
    "certifiable_share": Better.NEITHER,
    "synonyms_per_word": Better.NEITHER,
    "substitutable_words": Better.NEITHER,
}
SHARES = frozenset(METRICS) - {"synonyms_per_word", "substitutable_words"}
VALUE_COLUMNS = (
    "label",
    "predicted",
    "smoothed_predicted",
    "abstained",
    "certified",
    "radius",
    "substitutable_words",
    "lost",
)
"""What the shares are computed from."""
CHANGES = (1, 2, 4, 8)
"""Numbers of changed words of the slices of certified_accuracy."""


def measure_safer(rows: pd.DataFrame) -> list[Metric]:
    """Accuracy of the classifier, of the smoothed one, and certified; abstentions; how large the attack's room is.

    Abstaining counts as wrong. A text certified for all its words with synonyms is certified for any number of changes.
    """
    good, missing = usable(rows)
    if good.empty:
        return all_missing(METRICS, "no text could be smoothed", missing)
    reach = good["substitutable_words"].astype("int64")
    alpha = " and ".join(f"{value:g}" for value in sorted(good["alpha"].unique()))
    each = f"each text's answer and certificate hold but for a chance of {alpha}"
    notes = {
        "clean_accuracy": _limits(good),
        "smoothed_accuracy": f"abstaining counts as wrong; {each}",
        "certified_accuracy": _what(good, each),
        "abstention_rate": "texts whose answer is not certain enough to be given",
        "certifiable_share": "texts that some classifier could be certified on: their sets overlap enough, q_X < 1/2",
    }
    return [
        *(
            share(
                key,
                int(hits.sum()),
                len(good),
                better=METRICS[key],
                missing=missing,
                slice=part,
                headline=not part and key != "certifiable_share",
                note=each if part else notes[key],
            )
            for (key, part), hits in hits_of(good).items()
        ),
        _mean_ratio("synonyms_per_word", good["set_words"] - reach, reach, missing, unit="words"),
        _mean_ratio("substitutable_words", reach, good["words"], missing, unit="rate"),
    ]


def hits_of(good: pd.DataFrame) -> dict[tuple[str, str], pd.Series[bool]]:
    """Which usable rows count for each metric that is a share, by key and slice."""
    abstained = good["abstained"].astype(bool)
    label, reach = good["label"].astype("int64"), good["substitutable_words"].astype("int64")
    right = (label == good["smoothed_predicted"].astype("int64")) & ~abstained
    radius = good["radius"].astype("Int64").fillna(-1).astype("int64")
    changes = {
        ("certified_accuracy", f"{most} changed word{'s' if most > 1 else ''}"): right
        & (radius >= np.minimum(reach, most))
        for most in CHANGES
    }
    return {
        ("clean_accuracy", ""): label == good["predicted"].astype("int64"),
        ("smoothed_accuracy", ""): right,
        ("certified_accuracy", ""): right & good["certified"].astype(bool),
        **changes,
        ("abstention_rate", ""): abstained,
        ("certifiable_share", ""): good["lost"].astype("float64") < 0.5,
    }


def row_values(rows: pd.DataFrame, metric: str, part: str) -> RowValues | None:
    """0 or 1 of each row for the metrics that are shares, NaN for errors; None for other metrics."""
    good, _ = usable(rows)
    hits = hits_of(good).get((metric, part))
    if hits is None:
        return None
    values = np.full(len(rows), np.nan)
    values[(rows["status"] == "ok").to_numpy()] = hits
    return RowValues(values, bounds=UNIT)


def _mean_ratio(key: str, above: pd.Series[Any], below: pd.Series[Any], missing: int, unit: str) -> Metric:
    """A mean per word over all words of all texts; whole texts are what is independent."""
    values = RowValues(
        above.to_numpy(np.float64), below.to_numpy(np.float64), bounds=UNIT if unit == "rate" else POSITIVE
    )
    return estimate(
        key,
        values,
        better=METRICS[key],
        missing=missing,
        unit=unit,
        headline=False,
    )


def _what(good: pd.DataFrame, each: str) -> str:
    """What the certificate is about, without which its number means nothing."""
    most = {"any number" if pd.isna(value) else f"at most {int(value)}" for value in good["changed_words"].unique()}
    tables = " and ".join(sorted(good["synonyms"].unique()))
    return (
        f"of the smoothed classifier, right whichever synonyms replace {' or '.join(sorted(most))} of the words, so a "
        f"lower bound of its accuracy after such attacks; {each}; synonyms: {tables}"
    )


def _limits(good: pd.DataFrame) -> str:
    limits = {
        "cut to their first words": good["words_cut"] > 0,
        "longer than the model reads": good["truncated"] > 0,
    }
    return ", ".join(f"{int(hit.sum())} {what}" for what, hit in limits.items() if hit.any())
