"""Quality against epsilon over the models of a frontier; pure."""

from __future__ import annotations

import math

import pandas as pd

from harness.base.language import _
from harness.base.numbers import bound, interval, number
from harness.provenance.claim import rounded_up
from harness.provenance.trade_off import Estimated, TradeOff, TradeOffPoint

POINTS = ["mode", "epsilon", "value", "low", "high", "target"]
PLAIN = "none"


def private_points(found: TradeOff) -> pd.DataFrame:
    """A line per epsilon and mode of models trained under privacy; x is the epsilon claimed."""
    return _frame([point for point in found.points if math.isfinite(point.target)])


def plain_points(found: TradeOff) -> pd.DataFrame:
    """Those trained without; `epsilon` is infinite."""
    return _frame([point for point in found.points if not math.isfinite(point.target)])


def table(found: TradeOff) -> pd.DataFrame:
    """Every point in words: target, claim, quality and what privacy cost, each with its interval, and the seeds."""
    cost = _("lost to privacy") if found.better == "higher" else _("times that without privacy")
    columns = [
        _("mode"),
        _("epsilon asked for"),
        _("epsilon claimed"),
        _("delta"),
        found.quality,
        cost,
        _("seeds"),
        "n",
    ]
    return pd.DataFrame([_line(point, found.n) for point in found.points], columns=columns)


def _frame(points: list[TradeOffPoint]) -> pd.DataFrame:
    lines = [
        (
            point.mode,
            point.epsilon,
            point.quality.value,
            point.quality.value if point.quality.low is None else point.quality.low,
            point.quality.value if point.quality.high is None else point.quality.high,
            bound(point.target),
        )
        for point in points
    ]
    return pd.DataFrame(lines, columns=POINTS)


def _line(point: TradeOffPoint, n: int) -> list[str]:
    private = math.isfinite(point.target)
    return [
        point.mode,
        bound(point.target) if private else _("none"),
        rounded_up(point.epsilon) if private else _("none"),
        "" if point.delta is None else number(point.delta),
        _said(point.quality),
        "" if point.cost is None else _said(point.cost),
        ", ".join(map(str, sorted(point.by_seed))),
        str(n),
    ]


def _said(estimate: Estimated) -> str:
    if estimate.low is None and estimate.high is None:
        return _("{value}, no interval", value=number(estimate.value))
    return f"{number(estimate.value)} {interval(estimate.low, estimate.high)}"
