"""What the rows of adversarial/universal_trigger add up to.

Accuracies are over all usable rows, success over the texts that are right without a trigger, also by class: an error
row does not say its class, so it is missing from the metrics over all rows only.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from harness.api.declared import By, Computed, Declared, Named, Rows, ShareOf, of
from harness.api.metrics import Better, Metric
from harness.stats.paired import flip_regression

_NONE_RIGHT = "no held-out text was classified right without a trigger"
_RIGHT = of(operator.eq, "predicted", "label")


def trigger_metrics() -> tuple[Declared, ...]:
    """Accuracy without and with trigger and control, success of both and their difference on the same texts."""
    over: dict[str, Any] = {"over": _RIGHT, "empty": _NONE_RIGHT, "slices": By(("label_name",))}
    return (
        ShareOf("clean_accuracy", Better.HIGHER, _RIGHT),
        ShareOf(
            *("triggered_accuracy", Better.HIGHER, of(operator.eq, "perturbed_predicted", "label")), note=_searches
        ),
        ShareOf("control_accuracy", Better.HIGHER, of(operator.eq, "control_predicted", "label")),
        ShareOf(
            *("trigger_success_rate", Better.LOWER, of(_moved, "label", "target", "perturbed_predicted")),
            note=lambda rows: "" if rows.part else _searches(rows),
            **over,
        ),
        ShareOf(
            *("control_success_rate", Better.LOWER, of(_moved, "label", "target", "control_predicted")),
            **over,
        ),
        Computed((Named("success_above_control", Better.LOWER, unit="rate", bounds=(-1.0, 1.0)),), _above_control),
    )


def _moved(label: pd.Series[Any], target: pd.Series[Any], predicted: pd.Series[Any]) -> pd.Series[bool]:
    """Whether a text ends in the target class, or without one in any other than its own."""
    wanted, found = target.astype("Int64"), predicted.astype("int64")
    other = found != label.astype("int64")
    return ((wanted.isna() & other) | (found == wanted).fillna(False)).astype(bool)


def _above_control(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    mine = named["success_above_control"]
    yield _difference(rows.good, mine, missing=rows.missing)
    for name, part in rows.good.groupby("label_name", sort=True):
        yield _difference(part, mine, slice=str(name))


def _difference(good: pd.DataFrame, named: Named, **fields: Any) -> Metric:
    """As if the trigger were a candidate and the control its baseline."""
    attacked = good[good["predicted"].astype("int64") == good["label"].astype("int64")]
    if attacked.empty:
        return named.none(_NONE_RIGHT, **fields)
    moved, by_control = (
        _moved(attacked["label"], attacked["target"], attacked[column])
        for column in ("perturbed_predicted", "control_predicted")
    )
    first, second = (int(hit.sum()) for hit in (moved & ~by_control, ~moved & by_control))
    above = flip_regression(first, second, len(attacked))
    return named.value(above.value, above.interval, len(attacked), **fields)


def _searches(rows: Rows) -> str:
    """Each class's trigger and how it was found, and what else a reader has to know of the rows."""
    good, parts = rows.good, []
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
