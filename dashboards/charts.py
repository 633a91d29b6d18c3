"""Dot-and-whisker charts of metrics, with the bounds their gates set."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from dashboards.comparison import BETTER, UNCLEAR, WORSE
from dashboards.views import BADGES, gates_of, name
from harness.api.metrics import Metric
from harness.base.language import _, marked, told
from harness.base.numbers import interval, number
from harness.gate.decide import Outcome, Verdict
from harness.reports.content.recorded import retold

UNGATED = marked("no gate")
COLOURS = {
    BADGES[Outcome.PASS]: "#009E73",
    BADGES[Outcome.BLOCK]: "#D55E00",
    BADGES[Outcome.INCONCLUSIVE]: "#E69F00",
    UNGATED: "#7F7F7F",
}
"""Told apart with any colour vision (Okabe and Ito 2008); shapes repeat what they say."""
FOUND = {
    WORSE: COLOURS[BADGES[Outcome.BLOCK]],
    BETTER: COLOURS[BADGES[Outcome.PASS]],
    UNCLEAR: COLOURS[UNGATED],
}
SHAPES = ["circle", "cross", "diamond", "circle"]
SHARES = marked("between 0 and 1")
ROW_HEIGHT = 26
LABEL_WIDTH = 320


@dataclass(frozen=True, slots=True)
class ChartData:
    """Metrics that share an axis: `points` one line per metric, `bounds` one per gate limit."""

    title: str
    points: pd.DataFrame
    bounds: pd.DataFrame


def chart_data(metrics: Iterable[Metric], verdict: Verdict | None) -> list[ChartData]:
    """Metrics with a value, by axis: those between 0 and 1 together, the others by unit."""
    groups: dict[str, list[Metric]] = {}
    for metric in metrics:
        if metric.value is not None:
            groups.setdefault(_axis(metric), []).append(metric)
    return [
        ChartData(
            title,
            pd.DataFrame([_point(metric, verdict) for metric in group]),
            pd.DataFrame(
                [bound for metric in group for bound in _bounds(metric, verdict)], columns=["metric", "bound", "rule"]
            ),
        )
        for title, group in sorted(groups.items(), key=lambda item: item[0] != SHARES)
    ]


def metric_chart(data: ChartData, *, legend: bool = True) -> Any:
    """A row per metric: whisker (interval), dot (value), and a black-and-white bar where a gate's limit lies."""
    axis = alt.Axis(labelLimit=LABEL_WIDTH, minExtent=LABEL_WIDTH)
    y = alt.Y("metric:N", sort=list(dict.fromkeys(data.points["metric"])), title=None, axis=axis)
    scale = alt.Scale(domain=_domain(data), nice=False)
    key = alt.Legend(orient="top", direction="horizontal", titleOrient="left", symbolLimit=0) if legend else None
    x = alt.X("value:Q", title=_(data.title), scale=scale, axis=alt.Axis(tickCount=10))
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
    layers = [whiskers, dots]
    if not data.bounds.empty:
        limits = [alt.Tooltip("metric:N", title=_("metric")), alt.Tooltip("rule:N", title=_("rule"))]
        bars = alt.Chart(data.bounds).encode(y=y, x=alt.X("bound:Q", scale=scale), tooltip=limits)
        layers[:0] = [
            bars.mark_tick(color="white", thickness=6, size=20),
            bars.mark_tick(color="black", thickness=3, size=18),
        ]
    return alt.layer(*layers).properties(height=alt.Step(ROW_HEIGHT))


def difference_chart(data: pd.DataFrame) -> Any:
    """A row per metric: how much worse than the other audit, with its interval, about a line where nothing differs."""
    axis = alt.Axis(labelLimit=LABEL_WIDTH, minExtent=LABEL_WIDTH)
    y = alt.Y("metric:N", title=None, axis=axis)
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


def _domain(data: ChartData) -> list[float]:
    """Ends of the axis: 0 and 1 for shares, else a little beyond everything drawn."""
    if data.title == SHARES:
        return [0.0, 1.0]
    drawn = [float(value) for value in [*data.points["low"], *data.points["high"], *data.bounds["bound"]]]
    room = 0.05 * (max(drawn) - min(drawn)) or 0.5 * abs(drawn[0]) or 1.0
    return [min(drawn) - room, max(drawn) + room]


def _axis(metric: Metric) -> str:
    numbers_ = [value for value in (metric.value, metric.low, metric.high) if value is not None]
    if metric.unit in ("", "rate") and all(0 <= value <= 1 for value in numbers_):
        return SHARES
    return told(metric.unit) or name(metric)


def _point(metric: Metric, verdict: Verdict | None) -> dict[str, Any]:
    counting = [result for result in gates_of(metric, verdict) if not result.unmeasured]
    return {
        "metric": name(metric),
        "value": metric.value,
        "low": metric.value if metric.low is None else metric.low,
        "high": metric.value if metric.high is None else metric.high,
        "shown": number(metric.value),
        "interval": interval(metric.low, metric.high),
        "n": metric.n,
        "outcome": _(BADGES[counting[0].effective] if counting else UNGATED),
    }


def _bounds(metric: Metric, verdict: Verdict | None) -> list[dict[str, Any]]:
    return [
        {"metric": name(metric), "bound": limit, "rule": f"{result.gate.id}: {retold(result.gate.rule)}"}
        for result in gates_of(metric, verdict)
        for limit in result.gate.allowed
        if math.isfinite(limit)
    ]
