"""Metrics with their intervals, as the probes build them from rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from harness.metrics import Better, Metric, missing_metric
from harness.stats import FloatArray, Interval, Statistic, bootstrap, wilson


def usable(rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Rows that were measured, and how many were not."""
    good = rows[rows["status"] == "ok"]
    return good, len(rows) - len(good)


def all_missing(keys: Mapping[str, Better], why: str, missing: int) -> list[Metric]:
    """Every metric of a probe that has no usable row."""
    return [missing_metric(key, why, better=better, missing=missing) for key, better in keys.items()]


def with_interval(key: str, value: float, interval: Interval, n: int, *, better: Better, **fields: Any) -> Metric:
    """`value` with `interval`, its method and its level. `fields` are further fields of Metric."""
    return Metric(
        key=key,
        value=value,
        low=interval.low,
        high=interval.high,
        interval=interval.method,
        level=interval.level,
        n=n,
        better=better,
        **fields,
    )


def share(key: str, hits: int, n: int, *, better: Better, **fields: Any) -> Metric:
    """The share hits / n with its Wilson interval; n > 0. `fields` are further fields of Metric."""
    return with_interval(key, hits / n, wilson(hits, n), n, better=better, unit="rate", **fields)


def estimate(
    key: str, statistic: Statistic, n: int, *, better: Better, clusters: ArrayLike | None = None, **fields: Any
) -> Metric:
    """`statistic` at one draw of every row, with its bootstrap interval over rows, or over whole clusters of rows.

    The metric's n counts what is drawn. A value that is not finite is missing, with the note that says so.
    """
    drawn = n if clusters is None else len(np.unique(np.asarray(clusters)))
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(statistic(np.ones((1, n)))[0])
    if not np.isfinite(value):
        gone = {name: fields.pop(name) for name in ("missing", "unit") if name in fields}
        return missing_metric(key, f"{value}: not a finite number", better=better, **gone).model_copy(update=fields)
    interval = bootstrap(statistic, n, clusters=clusters)
    if interval is None:
        note = f"no interval: {drawn} independent observations are too few or leave it undefined"
        fields["note"] = "; ".join(filter(None, [fields.get("note"), note]))
        return Metric(key=key, value=value, n=drawn, better=better, **fields)
    return with_interval(key, value, interval, drawn, better=better, **fields)


def mean(values: ArrayLike) -> Statistic:
    """The mean of `values` [n] as a statistic."""
    column = np.asarray(values, dtype=np.float64)

    def statistic(weights: FloatArray) -> FloatArray:
        return np.asarray(weights @ column / weights.sum(axis=1))

    return statistic


def ratio(numerators: ArrayLike, denominators: ArrayLike) -> Statistic:
    """Sum of numerators [n] over sum of denominators [n] as a statistic."""
    above, below = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)

    def statistic(weights: FloatArray) -> FloatArray:
        return np.asarray((weights @ above) / (weights @ below))

    return statistic
