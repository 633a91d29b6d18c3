"""Costs of search methods from saved rows, beside a published table: ratios with intervals, order, pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.former import percentile, wilson
from benchmarks.report import Cell
from benchmarks.search_spaces import DELETE, GRADIENT, RANKING, Space
from harness.stats.intervals import FloatArray

Row = dict[str, Any]
"""id, outcome, queries; if attacked also credited, exhausted, words, may_change, candidates, words_with_candidates."""
Found = Mapping[str, Sequence[Row]]
"""The rows of each method; of methods that ran on fewer sentences, those of the first."""
NOT_ATTACKED = ("skipped", "error")
"""The model errs without an attack; the search itself crashed."""
GAP = 1.25
"""The table orders two methods where one costs at least so many times the other."""
NEAR = 1.5
"""A ratio holds when it is within this factor of the published."""
SUCCESSES, RELEASE, NOW = "per success", "as the release", "as 0.3.11"
WAYS = (SUCCESSES, RELEASE, NOW)
"""Means over successes and over all attacked, as the paper's release of TextAttack counted; over all as it does now.

The first two rank all words of a text first, as that release did; 0.3.11 leaves out words that may not change.
"""


def costs(method: str, rows: Sequence[Row], way: str) -> FloatArray:
    """Queries of each row [rows]; NaN where the row does not count in this way.

    The release gave a search the queries until the text that it returned was scored: of a failure 1 where that is the
    original, of the genetic search and PSO not the rest of the generation in which they succeed. A gradient costs two
    queries, as in the paper.
    """
    found = np.full(len(rows), np.nan)
    for at, row in enumerate(rows):
        if row["outcome"] in NOT_ATTACKED or (way == SUCCESSES and row["outcome"] != "succeeded"):
            continue
        own = row["queries"] if way == NOW else row["credited"]
        ranked = method in RANKING and way != NOW and own > 1
        found[at] = own + (row["words"] - row["may_change"]) * ranked + 2 * (method == GRADIENT)
    return found


def published(space: Space, method: str, way: str) -> float:
    """The paper's mean queries; Table 3's for both ways over all attacked."""
    one = space.published[method]
    return one.per_success if way == SUCCESSES else one.queries


def ratio(top: FloatArray, base: FloatArray, *, paired: bool = False) -> dict[str, Any]:
    """Ratio of the means of two costs of the same sentences, NaN not counted; bootstrap interval over sentences.

    `paired`: means over the sentences that count for both.
    """
    if paired:
        both = np.isfinite(top) & np.isfinite(base)
        top, base = np.where(both, top, np.nan), np.where(both, base, np.nan)

    def value(weights: FloatArray) -> FloatArray:
        return np.asarray(_means(weights, top) / _means(weights, base))

    with np.errstate(invalid="ignore", divide="ignore"):
        point = float(value(np.ones((1, len(top))))[0])
    interval = percentile(value, len(top))
    bounds = None if interval is None else [_short(end) for end in interval]
    return {"ratio": _short(point), "interval": bounds, "sentences": int((np.isfinite(top) & np.isfinite(base)).sum())}


def method_cell(space: Space, method: str, found: Found) -> Cell:
    """The ratio to WIR delete's queries over successes; the other ways, success and sizes in `extra`."""
    rows = found[method]
    done = [row for row in rows if row["outcome"] not in NOT_ATTACKED]
    won = sum(row["outcome"] == "succeeded" for row in done)
    bounds = wilson(won, len(done))
    extra: dict[str, Any] = {
        "attacked": len(done),
        "success": round(won / len(done), 3),
        "success interval": [round(end, 3) for end in bounds],
        "published success": space.published[method].success,
        "crashed": [row["error"] for row in rows if row["outcome"] == "error"],
        "ended at the budget": sum(row["exhausted"] for row in done),
    }
    for way in WAYS:
        top, under = _compared(method, DELETE, found, way)
        extra[way] = {
            "queries": _short(float(np.nanmean(top))),
            "published queries": published(space, method, way),
            "ratio": ratio(top, under),
            "published ratio": _short(published(space, method, way) / published(space, DELETE, way)),
        }
        if way == SUCCESSES:
            extra[way]["paired"] = ratio(top, under, paired=True)
            whole = [row["queries"] for row in done if row["outcome"] == "succeeded"]
            extra[way]["queries counted in full"] = _short(float(np.mean(whole))) if whole else None
    first = extra[SUCCESSES]
    return Cell(
        f"{space.name}, {method}: queries per success over WIR delete's, ours and published",
        first["ratio"]["ratio"],
        first["published ratio"],
        lower_is_better=True,
        extra=extra,
    )


def order_cells(space: Space, found: Found) -> list[Cell]:
    """What holds of the table in each way: rank correlation, pairs in the published order, ratios near to it."""
    cells = []
    for way in WAYS:
        mine = _means_of(found, way)
        theirs = {method: published(space, method, way) for method in found}
        rank = float(spearmanr([mine[method] for method in found], [theirs[method] for method in found]).statistic)
        held, broken, by_chance = _pairs(found, theirs, way)
        near = [name for name in found if name != DELETE and _is_near(space, name, found, way)]
        far = [name for name in found if name != DELETE and name not in near]
        where = f"{space.name}, {way}"
        cells += [
            Cell(
                f"{where}: pairs of methods in the published order (of {GAP}x and more)",
                len(held),
                len(held) + len(broken),
                1.0,
                extra={"held": held, "broken": broken, "interval of the ratio includes 1": by_chance},
            ),
            Cell(f"{where}: Spearman's rank correlation of the queries with the published", rank, 1.0),
            Cell(
                f"{where}: ratios to WIR delete's within {NEAR}x of the published",
                len(near),
                len(near) + len(far),
                extra={"near": near, "far": far},
            ),
        ]
    return cells


def space_cell(space: Space, rows: Sequence[Row]) -> Cell:
    """How large the space is: candidates per attacked text, beside the authors' runs."""
    done = [row for row in rows if row["outcome"] not in NOT_ATTACKED]
    names = {"words": "words", "may_change": "words that may change", "words_with_candidates": "words with a candidate"}
    return Cell(
        f"{space.name}: candidates per text",
        float(np.mean([row["candidates"] for row in done])),
        space.candidates,
        extra={space.constraint: space.threshold, "attacked": len(done)}
        | {shown: round(float(np.mean([row[name] for row in done])), 1) for name, shown in names.items()}
        | {"texts without a candidate": sum(row["candidates"] == 0 for row in done)},
    )


def _compared(first: str, second: str, found: Found, way: str) -> tuple[FloatArray, FloatArray]:
    """Costs of two methods on the sentences that both ran on; NaN in both where either crashed."""
    size = min(len(found[first]), len(found[second]))
    one, other = (costs(method, found[method][:size], way) for method in (first, second))
    rows = zip(found[first][:size], found[second][:size], strict=True)
    crashed = np.array(["error" in (row["outcome"], beside["outcome"]) for row, beside in rows])
    return np.where(crashed, np.nan, one), np.where(crashed, np.nan, other)


def _means_of(found: Found, way: str) -> dict[str, float]:
    """Mean queries of each method, scaled from its own sentences to WIR delete's: ratio there times delete's mean."""
    whole = float(np.nanmean(costs(DELETE, found[DELETE], way)))
    return {method: whole * ratio(*_compared(method, DELETE, found, way))["ratio"] for method in found}


def _pairs(found: Found, theirs: Mapping[str, float], way: str) -> tuple[list[str], list[str], list[str]]:
    """Pairs (cheaper < dearer by the table) that hold here, that do not, and those of either that chance may turn.

    Both of a pair are compared on the sentences that both ran on.
    """
    held: list[str] = []
    broken: list[str] = []
    by_chance: list[str] = []
    for pair in combinations(sorted(found, key=lambda method: theirs[method]), 2):
        low, high = pair
        if theirs[high] < GAP * theirs[low]:
            continue
        over = ratio(*_compared(high, low, found, way))
        shown = f"{low} < {high}: {over['ratio']}, published {_short(theirs[high] / theirs[low])}"
        (held if over["ratio"] > 1 else broken).append(shown)
        if over["interval"] is None or over["interval"][0] <= 1 <= over["interval"][1]:
            by_chance.append(f"{low} < {high}")
    return held, broken, by_chance


def _is_near(space: Space, method: str, found: Found, way: str) -> bool:
    ours = ratio(*_compared(method, DELETE, found, way))["ratio"]
    theirs = published(space, method, way) / published(space, DELETE, way)
    return bool(theirs / NEAR <= ours <= theirs * NEAR)


def _means(weights: FloatArray, values: FloatArray) -> FloatArray:
    counted = np.isfinite(values)
    return np.asarray((weights @ np.where(counted, values, 0.0)) / (weights @ counted.astype(np.float64)))


def _short(number: float) -> float:
    return float(f"{number:.4g}")
