"""Metrics without a value where the texts alone tell members from the records held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd

from harness.api.declared import Named, Rows
from harness.api.estimates import UNIT
from harness.api.metrics import Better, Metric
from harness.api.scorer import Bools
from harness.stats.intervals import Interval, Method
from suites.memorization.blind.baseline import FEWEST, Blind, why_different
from suites.memorization.hygiene.blind import blind_of

_BLIND_NOTE = "texts alone, no model; away from 0.5 members and non-members differ in kind, and nothing else is judged"
_NO_BLIND = "too few records were compared by their texts alone"
BLIND_AUC = Named("blind_auc", Better.TARGET, target=0.5, bounds=UNIT, note=_BLIND_NOTE)

Make = Callable[[Rows, Mapping[str, Named]], Iterator[Metric]]


def members_of(good: pd.DataFrame) -> Bools:
    """Which rows are of members, [n]."""
    return good["member"].to_numpy(dtype=np.bool_)


def where_judgeable(make: Make) -> Make:
    """Metrics without a value where a side is empty, or where texts alone tell the sides apart."""

    def judged(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
        why = why_unjudgeable(rows.good)
        for metric in make(rows, named):
            yield metric if why is None else _unjudged(metric, named[metric.key], why)

    return where_both_sides(judged)


def where_both_sides(make: Make) -> Make:
    """Metrics without a value where no member was scored, or no non-member."""

    def made(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
        member = members_of(rows.good)
        if not member.all() and member.any():
            yield from make(rows, named)
            return
        why = f"{member.sum()} members and {(~member).sum()} non-members were scored; both are needed"
        yield from (each.none(why, missing=rows.missing) for each in named.values())

    return made


def blind_auc(rows: Rows, named: Named) -> Metric:
    """What the texts alone tell."""
    blind = _blind(rows.good)
    if blind is None:
        return named.none(_NO_BLIND, missing=rows.missing)
    few = min(blind.members, blind.non_members)
    interval = Interval(blind.low, blind.high, Method.AUC_FOLDS)
    note = _BLIND_NOTE if few >= FEWEST else f"{_BLIND_NOTE}; {few} a side may hide one: give {FEWEST}"
    return named.value(blind.auc, interval, few, missing=rows.missing, note=note)


def why_unjudgeable(good: pd.DataFrame) -> str | None:
    """Why a signal of the model would say nothing; None where the blind baseline finds none."""
    blind = _blind(good)
    why = None if blind is None else why_different(blind)
    return None if why is None else f"not judgeable: {why}"


def _unjudged(metric: Metric, named: Named, why: str) -> Metric:
    if metric.value is None:
        return metric
    return named.none(f"{why} (it would have been {metric.value:.4g})", missing=metric.missing)


def _blind(good: pd.DataFrame) -> Blind | None:
    """The blind baseline of rows; None where too few were compared."""
    scores, folds = (good[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in ("blind", "blind_fold"))
    return blind_of(scores, folds, members_of(good))
