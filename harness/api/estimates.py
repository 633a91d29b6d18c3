"""Metrics with their intervals, as the probes build them from rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from harness.api.means import fewest_units, ratio_interval, unit_sums
from harness.api.metrics import Better, Metric, RowValues, missing_metric
from harness.stats.intervals import Interval, clopper_pearson

UNIT = (0.0, 1.0)
"""Bounds of a rate."""
POSITIVE = (0.0, math.inf)
ANY = (-math.inf, math.inf)


def usable(rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Rows that were measured, and how many should have been and were not; excluded cases are neither."""
    good = rows[rows["status"] == "ok"]
    return good, len(rows) - len(good) - int((rows["status"] == "excluded").sum())


def with_interval(key: str, value: float, interval: Interval, n: int, *, better: Better, **fields: Any) -> Metric:
    """`value` with `interval`, its method and its level; an infinite end is none. `fields` go to Metric."""
    return Metric(
        key=key,
        value=value,
        low=interval.low if math.isfinite(interval.low) else None,
        high=interval.high if math.isfinite(interval.high) else None,
        interval=interval.method,
        level=interval.level,
        n=n,
        better=better,
        **fields,
    )


def share(key: str, hits: int, n: int, *, better: Better, **fields: Any) -> Metric:
    """The share hits / n with its Clopper-Pearson interval; n > 0. `fields` are further fields of Metric."""
    return with_interval(key, hits / n, clopper_pearson(hits, n), n, better=better, unit="rate", **fields)


def estimate(key: str, values: RowValues, *, better: Better, level: float = 0.95, **fields: Any) -> Metric:
    """sum(above) / sum(below), finished, with its interval over rows, or over whole clusters of rows.

    The metric's n counts the rows or clusters. A value that is not finite is missing, with the note that says so; an
    end that the rows cannot bound is None, with the note that says how many could.
    """
    above = np.asarray(values.above, dtype=np.float64)
    below = np.ones(len(above)) if values.below is None else np.asarray(values.below, dtype=np.float64)
    clusters = None if values.clusters is None else np.asarray(values.clusters, dtype=object)
    units = unit_sums(np.stack([above, below]), clusters)
    n = len(units)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        quotient = np.array([above.sum() / below.sum()])
        value = float((quotient if values.finish is None else values.finish(quotient))[0])
    if not math.isfinite(value):
        gone = {name: fields.pop(name) for name in ("missing", "unit") if name in fields}
        fields["note"] = "; ".join(filter(None, [fields.get("note", ""), f"{value}: not a finite number"]))
        return missing_metric(key, fields["note"], better=better, **gone).model_copy(update=fields)
    interval = ratio_interval(units, values, level=level)
    notes = [fields.pop("note", ""), _unbounded(interval, n, level)]
    fields["note"] = "; ".join(filter(None, notes))
    if interval is None:
        return Metric(key=key, value=value, n=n, better=better, **fields)
    return with_interval(key, value, interval, n, better=better, **fields)


def _unbounded(interval: Interval | None, n: int, level: float) -> str:
    """Why an end is missing; '' where none is."""
    if interval is not None and math.isfinite(interval.low) and math.isfinite(interval.high):
        return ""
    what = "no interval" if interval is None else f"no {'upper' if math.isfinite(interval.low) else 'lower'} end"
    if n < fewest_units(level):
        return (
            f"{what}: {n} independent observations are too few, {fewest_units(level)} could have shown a rare outlier"
        )
    return f"{what}: all observations are the same"
