"""The ROC of membership with both axes logarithmic, and the rates that the training's claim allows any attack.

Carlini et al. 2022, arXiv 2112.03570: on a linear axis the low false-positive rates, which are what an attacker works
at, cannot be seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from harness.api.curves import Curve, CurvePlot, Point
from harness.api.lists import as_list
from harness.stats.intervals import clopper_pearson
from suites.memorization.hygiene.ceilings import CURVE_RATES
from suites.memorization.hygiene.judgeable import why_unjudgeable
from suites.memorization.hygiene.rates import Side, side_of
from suites.memorization.signals.roc import curve

CEILING, CHANCE = "the claim allows", "chance"
_PER_DECADE = 40
"""Rates of a curve: finer than a drawing shows, and a file of a few kilobytes however many records there are."""
_NOTE = (
    "A threshold for every point, read off the same records; each true-positive rate with its exact 95 % interval at "
    "that threshold. To quote a rate take the metrics, whose thresholds are fixed on other records."
)


def roc(rows: pd.DataFrame, signals: Mapping[str, float], command: str) -> Sequence[CurvePlot]:
    """The plot of columns that tell members, each by the sign that makes members high; none where nothing is judged.

    That is where a side is empty, or texts alone tell the sides.
    """
    if why_no_roc(rows) is not None:
        return ()
    good = rows[rows["status"] == "ok"]
    sides = {name: side_of(good, name, sign) for name, sign in signals.items()}
    found = [_measured(name, side) for name, side in sides.items() if min(side.sizes)]
    if not found:
        return ()
    least = 10 ** math.floor(math.log10(min(value for each in found for at in each.points for value in (at.x, at.y))))
    least = min(least, 0.1)  # where all scores are one the only point is (1, 1)
    chance = Curve(name=CHANCE, points=(Point(x=least, y=least), Point(x=1, y=1)))
    return (
        CurvePlot(
            key="roc",
            title="ROC of membership",
            x="false-positive rate",
            y="true-positive rate",
            log=True,
            note=_NOTE,
            command=command,
            curves=(*found, chance, *_ceiling(good, least)),
        ),
    )


def why_no_roc(rows: pd.DataFrame) -> str | None:
    """Why rows have no curve; None where they have."""
    good = rows[rows["status"] == "ok"]
    sides = good["member"].nunique() if len(good) else 0
    return f"{sides} of two sides were scored" if sides < 2 else why_unjudgeable(good)


def _measured(name: str, side: Side) -> Curve:
    """One point for each false-positive rate that is told apart: the most members found at it."""
    false, true = curve(side.members, side.non_members)
    last = np.append(np.flatnonzero(np.diff(false) > 0), len(false) - 1)
    shown = last[(false[last] > 0) & (true[last] > 0)]
    grid = np.unique(np.round(np.log10(false[shown]) * _PER_DECADE), return_index=True)[1]
    members, others = side.sizes
    points = []
    for place in np.union1d(shown[grid], shown[-1:]):
        reach = clopper_pearson(round(true[place] * members), members)
        points.append(Point(x=float(false[place]), y=float(true[place]), low=reach.low, high=reach.high))
    return Curve(name=name, points=tuple(points), n=min(members, others))


def _ceiling(good: pd.DataFrame, least: float) -> tuple[Curve, ...]:
    """What the claim allows from the rate `least` on; none without a claim, and in rows from before it was kept."""
    allowed = as_list(good["ceiling_curve"].iloc[0]) if "ceiling_curve" in good.columns else []
    points = [
        Point(x=rate, y=float(most)) for rate, most in zip(CURVE_RATES, allowed, strict=False) if rate >= least and most
    ]
    return (Curve(name=CEILING, points=tuple(points), claimed=True),) if points else ()
