"""Dot-and-whisker charts of metrics, with the bounds their gates set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from dashboards.view_models.comparison import BETTER, UNCLEAR, WORSE
from dashboards.view_models.views import BADGES, gates_of, name
from harness.api.metrics import PROVEN, Metric
from harness.base import colours
from harness.base.language import _, marked, told
from harness.base.numbers import interval, number, padded
from harness.gate.decide import Outcome, Verdict
from harness.reports.content.recorded import retold

UNGATED = marked("no gate")
COLOURS = {
    BADGES[Outcome.PASS]: colours.GREEN,
    BADGES[Outcome.BLOCK]: colours.VERMILION,
    BADGES[Outcome.INCONCLUSIVE]: colours.ORANGE,
    UNGATED: colours.GREY,
}
FOUND = {
    WORSE: COLOURS[BADGES[Outcome.BLOCK]],
    BETTER: COLOURS[BADGES[Outcome.PASS]],
    UNCLEAR: COLOURS[UNGATED],
}
SHAPES = ["circle", "cross", "diamond", "circle"]
SHARES = marked("between 0 and 1")
BASELINE = colours.PURPLE
ROW_HEIGHT = 40
"""Pixels: a name, and below it a dot."""
NAME_WIDTH = 330
"""Pixels of the plot on a screen 390 wide."""
TICKS = 6
_ARROWS = {"→": 15, "←": -15}
"""Of an open end, with pixels from the dot."""


@dataclass(frozen=True, slots=True)
class ChartData:
    """Metrics that share an axis.

    Attributes:
        title: of the axis.
        points: one line per metric.
        bounds: one per limit that a gate sets.
        baselines: one per metric that was compared: the baseline's value over the cases both have.
    """

    title: str
    points: pd.DataFrame
    bounds: pd.DataFrame
    baselines: pd.DataFrame


def chart_data(metrics: Iterable[Metric], verdict: Verdict | None, within: str = "") -> list[ChartData]:
    """Metrics with a value, by axis: those between 0 and 1 together, the others by unit.

    `within`: what all names begin with, a suite or a probe, which need not be said again.
    """
    groups: dict[str, list[Metric]] = {}
    for metric in metrics:
        if metric.value is not None:
            groups.setdefault(_axis(metric), []).append(metric)
    return [
        ChartData(
            title,
            _table((_point(metric, verdict) for metric in group), within),
            _table((bound for metric in group for bound in _bounds(metric, verdict)), within, ["bound", "rule"]),
            _table((each for metric in group for each in _baselines(metric, verdict)), within, ["value", "shown"]),
        )
        for title, group in sorted(groups.items(), key=lambda item: item[0] != SHARES)
    ]


def by_suite(metrics: Iterable[Metric]) -> dict[str, list[Metric]]:
    """Metrics of each suite, in the order they come."""
    found: dict[str, list[Metric]] = {}
    for metric in metrics:
        found.setdefault(metric.key.partition("/")[0], []).append(metric)
    return found


def rows_of(table: pd.DataFrame, column: str) -> Any:
    """The vertical axis of a chart with a row for each name, in the order they come.

    Each name stands above its row, in the plot: beside it names would leave a narrow screen no room. They are labels of
    an axis, which take the colour of the page's theme.
    """
    axis = alt.Axis(
        domain=False,
        ticks=False,
        labelAlign="left",
        labelBaseline="bottom",
        labelPadding=-2,
        labelOffset=-7,
        labelLimit=NAME_WIDTH,
        labelOverlap=False,
        minExtent=0,
        maxExtent=0,
        zindex=1,
    )
    return alt.Y(f"{column}:N", sort=list(dict.fromkeys(table[column])), title=None, axis=axis)


def metric_chart(data: ChartData, *, legend: bool = True) -> Any:
    """A row per metric: whisker (interval), dot (value), bar (a gate's limit), ring (the baseline's value)."""
    y = rows_of(data.points, "metric")
    scale = alt.Scale(domain=_domain(data), nice=False)
    key = alt.Legend(orient="top", columns=2, titleOrient="left", symbolLimit=0) if legend else None
    x = alt.X("value:Q", title=_(data.title), scale=scale, axis=alt.Axis(tickCount=TICKS))
    domain = [_(word) for word in COLOURS]
    colour = alt.Color(
        "outcome:N", title=_("gate"), scale=alt.Scale(domain=domain, range=list(COLOURS.values())), legend=key
    )
    shape = alt.Shape("outcome:N", title=_("gate"), scale=alt.Scale(domain=domain, range=SHAPES), legend=key)
    tooltip = [
        alt.Tooltip("metric:N", title=_("metric")),
        alt.Tooltip("shown:N", title=_("value")),
        alt.Tooltip("interval:N", title=_("interval")),
        alt.Tooltip("n:N", title=_("n")),
        alt.Tooltip("outcome:N", title=_("outcome")),
    ]
    points = alt.Chart(data.points)
    whiskers = points.mark_rule(strokeWidth=2).encode(y=y, x=alt.X("low:Q", scale=scale), x2="high:Q", color=colour)
    dots = points.mark_point(size=120, filled=True, opacity=1).encode(
        y=y, x=x, color=colour, shape=shape, tooltip=tooltip
    )
    layers = [whiskers, *open_ends(data.points, y, COLOURS[UNGATED]), dots]
    if not data.bounds.empty:
        limits = [alt.Tooltip("metric:N", title=_("metric")), alt.Tooltip("rule:N", title=_("rule"))]
        bars = alt.Chart(data.bounds).encode(y=y, x=alt.X("bound:Q", scale=scale), tooltip=limits)
        layers[:0] = [
            bars.mark_tick(color="white", thickness=6, size=20),
            bars.mark_tick(color="black", thickness=3, size=18),
        ]
    if not data.baselines.empty:
        told = [
            alt.Tooltip("metric:N", title=_("metric")),
            alt.Tooltip("shown:N", title=_("baseline, over the cases both have")),
        ]
        rings = alt.Chart(data.baselines).mark_point(size=260, filled=False, strokeWidth=2.5, color=BASELINE, opacity=1)
        layers.append(rings.encode(y=y, x=alt.X("value:Q", scale=scale), tooltip=told))
    return alt.layer(*layers).properties(height=alt.Step(ROW_HEIGHT))


def open_ends(table: pd.DataFrame, y: Any, colour: str) -> list[Any]:
    """An arrow beside the dot where an interval has no end, so that nobody takes the value for its end.

    `table` has `value` and `open`, which `opening` gives.
    """
    return [
        alt.Chart(sides).mark_text(text=arrow, dx=shift, size=16, color=colour).encode(y=y, x="value:Q")
        for arrow, shift in _ARROWS.items()
        if len(sides := table[table["open"] == arrow])
    ]


def opening(low: float | None, high: float | None) -> str:
    """The arrow of an interval with one end; empty for both ends, and where there is no interval."""
    if (low is None) == (high is None):
        return ""
    return "←" if low is None else "→"


def difference_chart(data: pd.DataFrame) -> Any:
    """A row per metric: how much worse than the other audit, with its interval, about a line where nothing differs."""
    y = rows_of(data, "metric")
    domain = [_(word) for word in FOUND]
    colour = alt.Color("found:N", scale=alt.Scale(domain=domain, range=list(FOUND.values())), legend=None)
    shape = alt.Shape("found:N", scale=alt.Scale(domain=domain, range=["cross", "circle", "diamond"]), legend=None)
    tooltip = [
        alt.Tooltip("metric:N", title=_("metric")),
        alt.Tooltip("worse by:N", title=_("worse by")),
        alt.Tooltip("low:N", title=_("low")),
        alt.Tooltip("high:N", title=_("high")),
        alt.Tooltip("found:N", title=_("found")),
    ]
    drawn = alt.Chart(data)
    whiskers = drawn.mark_rule(strokeWidth=2).encode(
        y=y, x=alt.X("low:Q", title=_("worse by")), x2="high:Q", color=colour
    )
    dots = drawn.mark_point(size=120, filled=True, opacity=1).encode(
        y=y, x=alt.X("worse by:Q"), color=colour, shape=shape, tooltip=tooltip
    )
    nothing = alt.Chart(pd.DataFrame({"x": [0.0]})).mark_rule(strokeDash=[4, 4]).encode(x="x:Q")
    return alt.layer(nothing, whiskers, dots).properties(height=alt.Step(ROW_HEIGHT))


def _drawn(data: ChartData) -> list[Any]:
    return [*data.points["low"], *data.points["high"], *data.bounds["bound"], *data.baselines["value"]]


def _domain(data: ChartData) -> list[float]:
    """Ends of the axis: 0 and 1 for shares, else a little beyond everything drawn."""
    if data.title == SHARES:
        return [0.0, 1.0]
    drawn = [float(value) for value in _drawn(data)]
    if not any(drawn):
        return [0.0, 1.0]
    return list(padded(min(drawn), max(drawn), 0.05))


def _axis(metric: Metric) -> str:
    numbers_ = [value for value in (metric.value, metric.low, metric.high) if value is not None]
    if metric.unit in ("", "rate") and not _counted(metric) and all(0 <= value <= 1 for value in numbers_):
        return SHARES
    return told(metric.unit) or name(metric)


def _counted(metric: Metric) -> bool:
    """Whether it has no unit and is a number of things: no share, even where it is 0 or 1."""
    if metric.unit:
        return False
    return metric.interval == PROVEN if metric.bounds is None else metric.bounds[1] > 1


def _point(metric: Metric, verdict: Verdict | None) -> dict[str, Any]:
    counting = [result for result in gates_of(metric, verdict) if not result.unmeasured]
    return {
        "metric": name(metric),
        "value": metric.value,
        "low": metric.value if metric.low is None else metric.low,
        "high": metric.value if metric.high is None else metric.high,
        "shown": number(metric.value),
        "interval": interval(metric.low, metric.high),
        "open": opening(metric.low, metric.high),
        "n": metric.n,
        "outcome": _(BADGES[counting[0].effective] if counting else UNGATED),
    }


def _baselines(metric: Metric, verdict: Verdict | None) -> list[dict[str, Any]]:
    """Of the metric itself, once, however many gates compare it."""
    compared = [result.comparison for result in gates_of(metric, verdict) if result.comparison is not None]
    values = [
        each.baseline
        for each in compared
        if (each.metric, each.slice) == (metric.key, metric.slice) and each.baseline is not None
    ]
    return [{"metric": name(metric), "value": value, "shown": number(value)} for value in values[:1]]


def _table(lines: Iterable[dict[str, Any]], within: str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Lines with their metrics' names short of `within`."""
    short = [{**line, "metric": line["metric"].removeprefix(f"{within}/")} for line in lines]
    return pd.DataFrame(short, columns=["metric", *columns] if columns else None)


def _bounds(metric: Metric, verdict: Verdict | None) -> list[dict[str, Any]]:
    return [
        {"metric": name(metric), "bound": limit, "rule": f"{result.gate.id}: {retold(result.gate.rule)}"}
        for result in gates_of(metric, verdict)
        for limit in result.gate.allowed
        if math.isfinite(limit)
    ]
