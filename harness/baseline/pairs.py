"""Rows of two audits side by side, and a metric compared over them. Pure functions of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.api.means import paired_draws, unit_sums
from harness.api.metrics import Better, Metric, RowValues
from harness.api.probe import Probe
from harness.gate.levels import interval_at
from harness.gate.policy import Gate
from harness.gate.verdict import Comparison, Flips
from harness.stats.intervals import FloatArray, Method
from harness.stats.paired import Regression, drawn_regression, flip_regression, unpaired_regression

LISTED = 20
"""Ids of flipped cases that are listed each way."""
DEFAULT_LEVEL = 0.95
_MEASURED_CASES = 20_000
"""Cases that are measured again at most, the first by case id, a digest: some probes take a minute for a million."""

Key = tuple[str, str]
"""Last part of a metric's key, and its slice."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows of the cases that both audits have, in the same order: by case id, whatever the order they were read in."""

    candidate: pd.DataFrame
    baseline: pd.DataFrame
    only_candidate: int
    only_baseline: int
    excluded: int = 0
    """Cases of both that the probe does not apply to, in one or both of them: they are no pairs."""

    def __len__(self) -> int:
        return len(self.candidate)

    @property
    def unmatched(self) -> dict[str, int]:
        """Counts for a Comparison."""
        counts = {"only_candidate": self.only_candidate, "only_baseline": self.only_baseline}
        return {**counts, "excluded": self.excluded}


@dataclass(frozen=True, slots=True)
class Rule:
    """How a regression is to be judged."""

    margin: float
    level: float
    test: str
    draws: int
    least: float | None = None
    """What the margin comes to at least, where it is a share of the baseline's value, which is known by an interval;
    `margin` is then the most. None: it is no share."""

    @classmethod
    def of(cls, gate: Gate, baseline: Metric | None) -> Rule | None:
        """The rule of a gate with a baseline, whose metric has this value there; None: a share of what is not known.

        Half of the error goes to the interval of the baseline's value and half to that of the regression, so that both
        together err no more often than one of them would.
        """
        assert gate.baseline is not None
        evidence, share = gate.evidence, gate.baseline.max_regression
        level = evidence.confidence or DEFAULT_LEVEL
        if not gate.baseline.relative:
            return cls(share, level, evidence.test, evidence.draws)
        level = (1 + level) / 2
        low, high = (None, None) if baseline is None else interval_at(baseline, level)
        if low is None or high is None:
            return None
        near = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        return cls(share * max(abs(low), abs(high)), level, evidence.test, evidence.draws, share * near)

    @property
    def range(self) -> tuple[float, float] | None:
        """Least and most of a relative margin."""
        return None if self.least is None else (self.least, self.margin)


def pair(candidate: pd.DataFrame, baseline: pd.DataFrame) -> Pairs:
    """Match rows by case_id, which is unique on either side; a case that is excluded on one side is no pair."""
    ids = pd.concat([candidate["case_id"], baseline["case_id"]], ignore_index=True)
    codes = pd.factorize(ids)[0]
    ours, theirs = codes[: len(candidate)], codes[len(candidate) :]
    place = np.full(codes.max(initial=-1) + 1, -1)
    place[theirs] = np.arange(len(theirs))
    found = np.flatnonzero(place[ours] >= 0)
    found = found[candidate["case_id"].iloc[found].argsort(kind="stable").to_numpy()]
    sides = len(candidate), len(baseline)
    mine = candidate.iloc[found].reset_index(drop=True)
    del candidate  # a million rows are held once, not twice, while the other side is chosen
    its = baseline.iloc[place[ours[found]]].reset_index(drop=True)
    gone = ((mine["status"] == "excluded") | (its["status"] == "excluded")).to_numpy()
    if gone.any():
        mine, its = (side[~gone].reset_index(drop=True) for side in (mine, its))
    only_candidate, only_baseline = sides[0] - len(found), sides[1] - len(found)
    return Pairs(mine, its, only_candidate, only_baseline, excluded=int(gone.sum()))


def compare_values(metric: Metric, pairs: Pairs, ours: RowValues, theirs: RowValues, rule: Rule) -> Comparison:
    """Compare by what each row adds: by flips where rows have two outcomes, else by drawing pairs (or clusters)."""
    above = np.stack([np.asarray(side.above, dtype=np.float64) for side in (ours, theirs)])
    below = np.stack([_below(side, len(pairs)) for side in (ours, theirs)])
    usable: Mask = np.isfinite(np.concatenate([above, below])).all(axis=0)
    common: dict[str, Any] = {**_named(metric, rule), **pairs.unmatched, "unusable": int((~usable).sum())}
    usable &= (below != 0).any(axis=0)
    if not usable.any():
        return Comparison(**common, note="no case has a usable row in both audits")
    values = [_quotient(a[usable].sum(), b[usable].sum(), ours) for a, b in zip(above, below, strict=True)]
    common |= _values(*values)
    if None in values:
        return Comparison(**common, note="no row counts for the metric in one of the audits")
    counted = _counted(below, usable)
    worse, better = _flipped(metric, above, counted) if _is_binary(above, counted) else (None, None)
    flips = None if worse is None or better is None else _flips(pairs, worse, better)
    plain = flips is not None and ours.clusters is None and ours.finish is None
    if rule.test == "mcnemar" and not plain:
        return Comparison(**common, note="McNemar's test needs independent rows with two outcomes, better one way")
    if flips is not None and plain and rule.test != "bootstrap":
        n = int(counted.sum())
        found = flip_regression(flips.worse, flips.better, n, margin=rule.margin, level=rule.level)
        return Comparison(**common, **_judged(found, n), flips=flips)
    units = _units(np.concatenate([above, below]), usable, ours)
    drawn = paired_draws(units, _paired_bounds(ours, theirs, flips), level=rule.level, draws=rule.draws)
    if drawn is None:
        return Comparison(**common, note=f"{len(units)} pairs are too few, or too much alike, to bound the difference")
    found = _drawn(metric, ours, units, drawn, rule)
    return Comparison(**common, **_judged(found, len(units)), flips=flips)


def compare_measured(
    probe: Probe[Any], wanted: Mapping[Key, tuple[Metric, Rule]], pairs: Pairs
) -> dict[Key, Comparison]:
    """Compare metrics that are no sums over rows: measure both audits on the common cases, take both intervals."""
    both = ((pairs.candidate["status"] == "ok") & (pairs.baseline["status"] == "ok")).to_numpy()
    sides = [rows.head(_MEASURED_CASES) for rows in (pairs.candidate, pairs.baseline)]
    measured = [_measure(probe, rows) for rows in sides]
    out = {}
    for key, (metric, rule) in wanted.items():
        common: dict[str, Any] = {**_named(metric, rule), **pairs.unmatched, "unusable": int((~both).sum())}
        found = [side.get(key) for side in measured]
        ours, theirs = (None if side is None else side.value for side in found)
        common |= _values(ours, theirs)
        ends = [None if side is None else _badness(metric, side, rule.level) for side in found]
        if ours is None or theirs is None:
            out[key] = Comparison(**common, note="it has no value over the common cases")
        elif rule.test == "mcnemar":
            out[key] = Comparison(**common, note="McNemar's test needs a value per row")
        elif ends[0] is None or ends[1] is None:
            out[key] = Comparison(**common, note="it has no interval on both sides over the common cases")
        else:
            judged = unpaired_regression(ends[0], ends[1], margin=rule.margin, level=rule.level)
            n = min(side.n for side in found if side is not None)
            note = f"measured on {_MEASURED_CASES} of the common cases" if len(pairs) > _MEASURED_CASES else ""
            out[key] = Comparison(**common, **_judged(judged, n), note=note)
    return out


def worsening(metric: Metric) -> Callable[[FloatArray], FloatArray]:
    """How bad a value of the metric is; larger is worse. Raises ValueError where no direction is better."""
    if metric.better is Better.HIGHER:
        return lambda values: -values
    if metric.better is Better.LOWER:
        return lambda values: values
    target = metric.target
    if metric.better is Better.TARGET and target is not None:
        return lambda values: np.abs(values - target)
    raise ValueError(f"no direction of {metric.key} is better")


def _below(side: RowValues, n: int) -> FloatArray:
    return np.ones(n) if side.below is None else np.asarray(side.below, dtype=np.float64)


def _quotient(above: float, below: float, side: RowValues) -> float | None:
    if below == 0:
        return None
    value = np.array([above / below])
    finished = float((value if side.finish is None else side.finish(value))[0])
    return finished if np.isfinite(finished) else None


def _counted(below: FloatArray, usable: Mask) -> Mask:
    """Rows that count, where the metric is their mean in both audits alike; none where it is not."""
    same = bool(np.isin(below[:, usable], (0.0, 1.0)).all() and (below[0, usable] == below[1, usable]).all())
    return usable & (below[0] == 1.0) if same else np.zeros_like(usable)


def _is_binary(above: FloatArray, counted: Mask) -> bool:
    return bool(counted.any()) and bool(np.isin(above[:, counted], (0.0, 1.0)).all())


def _flipped(metric: Metric, above: FloatArray, usable: Mask) -> tuple[Mask | None, Mask | None]:
    """Which pairs got worse and better; None where neither direction is better by itself."""
    ours, theirs = above
    if metric.better is Better.HIGHER:
        return usable & (ours < theirs), usable & (ours > theirs)
    if metric.better is Better.LOWER:
        return usable & (ours > theirs), usable & (ours < theirs)
    return None, None


def _flips(pairs: Pairs, worse: Mask, better: Mask) -> Flips:
    ids = pairs.candidate["case_id"]
    return Flips(
        worse=int(worse.sum()),
        better=int(better.sum()),
        worse_ids=tuple(ids[worse].head(LISTED)),
        better_ids=tuple(ids[better].head(LISTED)),
    )


def _units(columns: FloatArray, usable: Mask, side: RowValues) -> FloatArray:
    """What each independent unit adds: [units, 4], above of both audits and then below of both."""
    clusters = None if side.clusters is None else np.asarray(side.clusters, dtype=object)[usable]
    return unit_sums(columns[:, usable], clusters)


def _paired_bounds(ours: RowValues, theirs: RowValues, flips: Flips | None) -> tuple[float, float]:
    """Bounds of both audits' values; values that are all 0 or 1 in pairs that count are taken to have no others."""
    if flips is not None:
        return 0.0, 1.0
    return min(ours.bounds[0], theirs.bounds[0]), max(ours.bounds[1], theirs.bounds[1])


def _drawn(metric: Metric, side: RowValues, units: FloatArray, drawn: Sequence[FloatArray], rule: Rule) -> Regression:
    worse = worsening(metric)

    def regression(quotients: FloatArray) -> FloatArray:
        ours, theirs = (each if side.finish is None else side.finish(each) for each in quotients.T)
        return worse(ours) - worse(theirs)

    totals = units.sum(axis=0)
    value = float(regression((totals[:2] / totals[2:])[None])[0])
    is_bounded = len(drawn) > 2
    clusters = "" if side.clusters is None else "clusters, "
    method = f"{Method.PAIRED_GAFFKE if is_bounded else Method.PAIRED_TAIL}, {clusters}{rule.draws} draws"
    values = [regression(quotients) for quotients in drawn]
    return drawn_regression(value, values, margin=rule.margin, level=rule.level, method=method)


def _measure(probe: Probe[Any], rows: pd.DataFrame) -> dict[Key, Metric]:
    try:
        return {(metric.key, metric.slice): metric for metric in probe.measure(rows)}
    except Exception:  # a plug-in's measure may not foresee which cases two audits have in common: nothing is measured
        return {}


def _badness(metric: Metric, measured: Metric, level: float) -> tuple[float, float, float] | None:
    """How bad a measured value is, with the ends of its interval at `level`; None where an end is not known."""
    low, high = interval_at(measured, level)
    if low is None or high is None or measured.value is None:
        return None
    ends = worsening(metric)(np.array([low, measured.value, high]))
    crosses = metric.better is Better.TARGET and metric.target is not None and low <= metric.target <= high
    return (0.0 if crosses else float(ends[[0, 2]].min()), float(ends[1]), float(ends[[0, 2]].max()))


def _named(metric: Metric, rule: Rule) -> dict[str, Any]:
    return {"metric": metric.key, "slice": metric.slice, "level": rule.level, "margin": rule.range}


def _values(ours: float | None, theirs: float | None) -> dict[str, float | None]:
    difference = None if ours is None or theirs is None else ours - theirs
    return {"candidate": ours, "baseline": theirs, "difference": difference}


def _judged(found: Regression, n: int) -> dict[str, Any]:
    return {
        "regression": found.value,
        "low": found.interval.low,
        "high": found.interval.high,
        "test": found.interval.method,
        "p": found.p,
        "detectable": found.detectable,
        "n": n,
    }
