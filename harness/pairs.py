"""Rows of two audits side by side, and a metric compared over them. Pure functions of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.metrics import Better, Metric, RowValues
from harness.paired import Regression, drawn_regression, flip_regression, from_draws
from harness.policy import Gate
from harness.probe import Probe
from harness.stats import FloatArray, points_only
from harness.verdict import Comparison, Flips

LISTED = 20
"""Ids of flipped cases that are listed each way."""
DEFAULT_LEVEL = 0.95
_UNITS = 10_000
"""More units than this are drawn in random groups: their resampling variance differs from the rows' by about 1 %."""
_MEASURED_DRAWS = 500
"""Draws where each one measures both audits again."""
_MEASURED_CASES = 5_000
"""Cases in such a draw, at most; from fewer than all, the spread is scaled by the root of the share (m out of n)."""

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

    def __len__(self) -> int:
        return len(self.candidate)

    @property
    def unmatched(self) -> dict[str, int]:
        """Counts for a Comparison."""
        return {"only_candidate": self.only_candidate, "only_baseline": self.only_baseline}


@dataclass(frozen=True, slots=True)
class Rule:
    """How a regression is to be judged."""

    margin: float
    level: float
    test: str
    draws: int

    @classmethod
    def of(cls, gate: Gate) -> Rule:
        """The rule of a gate with a baseline."""
        assert gate.baseline is not None
        evidence = gate.evidence
        level = evidence.confidence or DEFAULT_LEVEL
        return cls(gate.baseline.max_regression, level, evidence.test, evidence.draws)


def pair(candidate: pd.DataFrame, baseline: pd.DataFrame) -> Pairs:
    """Match rows by case_id, which is unique on either side."""
    ids = pd.concat([candidate["case_id"], baseline["case_id"]], ignore_index=True)
    codes = pd.factorize(ids)[0]
    ours, theirs = codes[: len(candidate)], codes[len(candidate) :]
    place = np.full(codes.max(initial=-1) + 1, -1)
    place[theirs] = np.arange(len(theirs))
    found = np.flatnonzero(place[ours] >= 0)
    found = found[candidate["case_id"].iloc[found].argsort(kind="stable").to_numpy()]
    return Pairs(
        candidate.iloc[found].reset_index(drop=True),
        baseline.iloc[place[ours[found]]].reset_index(drop=True),
        len(candidate) - len(found),
        len(baseline) - len(found),
    )


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
    units = _unit_sums(np.concatenate([above, below]), usable, ours)
    drawn = drawn_regression(
        _statistic(metric, ours, _grouped(units)),
        min(len(units), _UNITS),
        margin=rule.margin,
        level=rule.level,
        draws=rule.draws,
    )
    if drawn is None:
        return Comparison(**common, note=f"{len(units)} pairs are too few, or leave the difference undefined")
    return Comparison(**common, **_judged(drawn, len(units)), flips=flips)


def compare_measured(
    probe: Probe[Any], wanted: Mapping[Key, tuple[Metric, Rule]], pairs: Pairs
) -> dict[Key, Comparison]:
    """Compare metrics that are no sums over rows: draw cases, measure both audits on each draw."""
    both = ((pairs.candidate["status"] == "ok") & (pairs.baseline["status"] == "ok")).to_numpy()
    with points_only():
        points = [_measure(probe, rows, None) for rows in (pairs.candidate, pairs.baseline)]
        draws = max(min(rule.draws, _MEASURED_DRAWS) for _, rule in wanted.values())
        drawn = _draw(probe, pairs, list(wanted), draws) if len(pairs) > 1 else {}
    out = {}
    for key, (metric, rule) in wanted.items():
        found = [side.get(key) for side in points]
        common: dict[str, Any] = {**_named(metric, rule), **pairs.unmatched, "unusable": int((~both).sum())}
        ours, theirs = (None if side is None else side.value for side in found)
        if ours is None or theirs is None or key not in drawn:
            out[key] = Comparison(**common, **_values(ours, theirs), note="it has no value over the common cases")
            continue
        worse = worsening(metric)
        values = worse(drawn[key][:, 0]) - worse(drawn[key][:, 1])
        defined = values[np.isfinite(values)]
        common |= _values(ours, theirs)
        if rule.test == "mcnemar" or len(defined) < 0.95 * draws:
            why = (
                "McNemar's test needs a value per row"
                if rule.test == "mcnemar"
                else "too many draws leave it undefined"
            )
            out[key] = Comparison(**common, note=why)
            continue
        value = float(worse(np.array([ours]))[0] - worse(np.array([theirs]))[0])
        method = f"paired bootstrap of cases, percentile, {draws} draws"
        if len(pairs) > _MEASURED_CASES:
            defined = value + (defined - defined.mean()) * (_MEASURED_CASES / len(pairs)) ** 0.5
            method += f" of {_MEASURED_CASES}"
        judged = from_draws(value, defined, margin=rule.margin, level=rule.level, method=method)
        n = min(side.n for side in found if side is not None)
        out[key] = Comparison(**common, **_judged(judged, n), note="every case is taken for independent")
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


def _unit_sums(columns: FloatArray, usable: Mask, side: RowValues) -> FloatArray:
    """What each independent unit adds: [units, 4], above of both audits and then below of both."""
    if side.clusters is None:
        return np.ascontiguousarray(columns[:, usable].T)
    labels = np.asarray(side.clusters)[usable]
    codes, names = pd.factorize(labels, sort=True)
    return np.stack([np.bincount(codes, column[usable], len(names)) for column in columns], axis=1)


def _grouped(units: FloatArray) -> FloatArray:
    """At most `_UNITS` sums over groups of units; units stand in order of case id, a digest, so groups are random."""
    if len(units) <= _UNITS:
        return units
    starts = np.linspace(0, len(units), _UNITS, endpoint=False).astype(np.int64)
    return np.asarray(np.add.reduceat(units, starts, axis=0))


def _statistic(metric: Metric, side: RowValues, units: FloatArray) -> Callable[[FloatArray], FloatArray]:
    worse = worsening(metric)

    def statistic(weights: FloatArray) -> FloatArray:
        total = weights @ units
        quotients = [total[:, 0] / total[:, 2], total[:, 1] / total[:, 3]]
        ours, theirs = (each if side.finish is None else side.finish(each) for each in quotients)
        return worse(ours) - worse(theirs)

    return statistic


def _draw(probe: Probe[Any], pairs: Pairs, keys: list[Key], draws: int) -> dict[Key, FloatArray]:
    """Values of both audits over draws of cases, [draws, 2]; NaN where one is missing."""
    rng = np.random.default_rng(0)
    out = {key: np.full((draws, 2), np.nan) for key in keys}
    for at in range(draws):
        picks = rng.integers(0, len(pairs), min(len(pairs), _MEASURED_CASES))
        for side, rows in enumerate((pairs.candidate, pairs.baseline)):
            measured = _measure(probe, rows, picks)
            for key in keys:
                value = measured[key].value if key in measured else None
                out[key][at, side] = np.nan if value is None else value
    return out


def _measure(probe: Probe[Any], rows: pd.DataFrame, picks: NDArray[np.int64] | None) -> dict[Key, Metric]:
    if picks is not None:
        ids = [str(at) for at in range(len(picks))]  # a case drawn twice is two cases
        rows = rows.iloc[picks].assign(case_id=ids).reset_index(drop=True)
    try:
        return {(metric.key, metric.slice): metric for metric in probe.measure(rows)}
    except Exception:  # a plug-in's measure may not foresee what a draw leaves out: the draw is undefined then
        return {}


def _named(metric: Metric, rule: Rule) -> dict[str, Any]:
    return {"metric": metric.key, "slice": metric.slice, "level": rule.level}


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
