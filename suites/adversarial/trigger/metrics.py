"""What the rows of adversarial/universal_trigger add up to."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.api.estimates import all_missing, share, usable, with_interval
from harness.api.metrics import Better, Metric, missing_metric
from harness.stats.paired import flip_regression

METRICS = {
    "clean_accuracy": Better.HIGHER,
    "triggered_accuracy": Better.HIGHER,
    "control_accuracy": Better.HIGHER,
    "trigger_success_rate": Better.LOWER,
    "control_success_rate": Better.LOWER,
    "success_above_control": Better.LOWER,
}
_NONE_RIGHT = "no held-out text was classified right without a trigger"


def measure_triggers(rows: pd.DataFrame) -> list[Metric]:
    """Accuracies over all usable rows; success over the texts that are right without a trigger, also by class.

    An error row does not say its class, so it is missing from the metrics over all rows only.
    """
    good, missing = usable(rows)
    if good.empty:
        return all_missing(METRICS, "no held-out text met a trigger", missing)
    seen = _outcomes(good)
    note = _searches(good)
    accuracies = [
        share(key, int(seen[column].sum()), len(seen), better=METRICS[key], missing=missing, note=about)
        for key, column, about in (
            ("clean_accuracy", "right", ""),
            ("triggered_accuracy", "right_with_trigger", note),
            ("control_accuracy", "right_with_control", ""),
        )
    ]
    by_class = [
        metric
        for name, mine in seen.groupby("label_name", sort=True)
        for metric in _successes(mine, missing=0, slice=str(name), headline=False)
    ]
    return [*accuracies, *_successes(seen, missing=missing, note=note), *by_class]


def _outcomes(good: pd.DataFrame) -> pd.DataFrame:
    """What became of each text, as truth values."""
    label = good["label"].astype("int64")
    target = good["target"].astype("Int64")

    def reached(column: str) -> pd.Series[bool]:
        predicted = good[column].astype("int64")
        return ((target.isna() & (predicted != label)) | (predicted == target).fillna(False)).astype(bool)

    right = good["predicted"].astype("int64") == label
    return pd.DataFrame(
        {
            "label_name": good["label_name"],
            "right": right,
            "right_with_trigger": good["perturbed_predicted"].astype("int64") == label,
            "right_with_control": good["control_predicted"].astype("int64") == label,
            "moved": right & reached("perturbed_predicted"),
            "moved_by_control": right & reached("control_predicted"),
        }
    )


def _successes(seen: pd.DataFrame, *, missing: int, note: str = "", **fields: Any) -> list[Metric]:
    """Success of the trigger, with the note, and of the control, and their difference on the same texts."""
    keys = ("trigger_success_rate", "control_success_rate", "success_above_control")
    attacked = seen[seen["right"]]
    n = len(attacked)
    if n == 0:
        none = [missing_metric(key, _NONE_RIGHT, better=METRICS[key], missing=missing, unit="rate") for key in keys]
        return [metric.model_copy(update=fields) for metric in none]
    moved, by_control = attacked["moved"], attacked["moved_by_control"]
    both, first, second = (int(hit.sum()) for hit in (moved & by_control, moved & ~by_control, ~moved & by_control))
    above = flip_regression(first, second, n)  # as if the trigger were a candidate, the control its baseline
    return [
        share(keys[0], both + first, n, better=METRICS[keys[0]], missing=missing, note=note, **fields),
        share(keys[1], both + second, n, better=METRICS[keys[1]], missing=missing, **fields),
        with_interval(
            keys[2],
            above.value,
            above.interval,
            n,
            better=METRICS[keys[2]],
            missing=missing,
            unit="rate",
            **fields,
        ),
    ]


def _searches(good: pd.DataFrame) -> str:
    """Each class's trigger and how it was found, and what else a reader has to know of the rows."""
    parts = []
    for name, mine in good.groupby("label_name", sort=True):
        triggers = mine.drop_duplicates("trigger")
        for row in triggers.itertuples():
            found = f"{name}: {row.trigger!r} by {row.search} on {row.search_texts} texts"
            parts.append(f"{found}, out of reads" if row.search_exhausted else found)
        if len(triggers) > 1:
            parts.append(f"{name} has {len(triggers)} triggers: its search did not repeat after a break")
    limits = {"cut to their first words": good["words_cut"] > 0, "longer than the model reads": good["truncated"] > 0}
    parts += [f"{int(hit.sum())} {what}" for what, hit in limits.items() if hit.any()]
    return "; ".join(parts)
