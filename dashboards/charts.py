"""Dot-and-whisker charts of metrics, with the bounds their gates set."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboards.view_models.comparison import BETTER, UNCLEAR, WORSE
from dashboards.view_models.views import BADGES, gates_of, name
from dashboards.whiskers import Axis, Dot, Key, Line, axis_of, whiskers_html
from harness.api.metrics import PROVEN, Metric
from harness.base import colours
from harness.base.language import _, marked, told
from harness.base.numbers import interval, number
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
SHAPES = dict(zip(COLOURS, ("circle", "cross", "diamond", "circle"), strict=True))
_FOUND_SHAPES = {WORSE: "cross", BETTER: "circle", UNCLEAR: "diamond"}
SHARES = marked("between 0 and 1")
BASELINE = colours.PURPLE


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


def metric_chart(data: ChartData, *, label: str, legend: bool = True) -> str:
    """HTML: a line per metric with whisker (interval), dot (value), bar (a gate's limit), ring (the baseline's value).

    `label` is read to who does not see it.
    """
    lines = [_metric_line(point, data) for point in data.points.to_dict("records")]
    axis = Axis(_(SHARES), 0.0, 1.0) if data.title == SHARES else axis_of(_(data.title), lines)
    keys = [Key(_(word), colour, SHAPES[word]) for word, colour in COLOURS.items()] if legend else []
    return whiskers_html(lines, axis, label=label, keys=keys, title=_("gate"))


def _metric_line(point: Mapping[Hashable, Any], data: ChartData) -> Line:
    word = {_(each): each for each in COLOURS}[point["outcome"]]
    limits = data.bounds[data.bounds["metric"] == point["metric"]]
    rings = data.baselines[data.baselines["metric"] == point["metric"]]
    dots = [Dot(point["value"], COLOURS[word], SHAPES[word], point["low"], point["high"], point["open"])]
    dots += [Dot(value, BASELINE, "ring") for value in rings["value"]]
    more = [" ".join((_("n"), str(point["n"]))), point["outcome"], *limits["rule"]]
    more += [": ".join((_("baseline, over the cases both have"), shown)) for shown in rings["shown"]]
    said = f"{point['shown']} {point['interval']}".strip()
    return Line(point["metric"], said, tuple(dots), tuple(limits["bound"]), "\n".join(more))


def opening(low: float | None, high: float | None) -> str:
    """The arrow of an interval with one end; empty for both ends, and where there is no interval."""
    if (low is None) == (high is None):
        return ""
    return "←" if low is None else "→"


def difference_chart(data: pd.DataFrame, *, label: str) -> str:
    """HTML: a line per metric, how much worse than the other audit, with its interval, about where nothing differs."""
    words = {_(word): word for word in FOUND}
    lines = [
        Line(
            each["metric"],
            f"{number(each['worse by'])} {interval(each['low'], each['high'])}".strip(),
            (Dot(each["worse by"], FOUND[word], _FOUND_SHAPES[word], each["low"], each["high"]),),
            more=each["found"],
        )
        for each in data.to_dict("records")
        for word in [words[each["found"]]]
    ]
    return whiskers_html(lines, axis_of(_("worse by"), lines, zero=True), label=label)


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
