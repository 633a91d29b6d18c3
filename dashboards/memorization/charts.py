"""Charts of what a training kept, each of a frame of this room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from dashboards.memorization.epsilon import CLAIMED, MOST, PROVEN, RECOMPUTED
from dashboards.memorization.exposure import NOTHING
from harness.base.colours import BLUE, GREEN, GREY, GREY_TEXT, ORANGE, SERIES
from harness.base.language import _

_DASHES: tuple[list[int], ...] = ([1, 0], [6, 3], [2, 2], [8, 2, 2, 2], [4, 1], [1, 3], [10, 4])
_HEIGHT = 320
_ROW = 30
_LABEL = 180
"""Pixels of a name beside a chart: on a phone half of it is left to the chart."""


def exposure_chart(points: pd.DataFrame, means: pd.DataFrame, most: float) -> Any:
    """A small dot per secret, its mean with an interval per number of copies; lines at nothing and at the most."""
    order = list(dict.fromkeys(means["copies"]))
    x = alt.X("copies:N", sort=order, title=_("times in the records"), axis=alt.Axis(labelAngle=0))
    scale = alt.Scale(domain=[0, most * 1.04], nice=False)
    y = alt.Y("exposure:Q", title=_("exposure, bits"), scale=scale)
    dots = alt.Chart(points).mark_point(size=24, opacity=0.5, color=GREY, filled=True).encode(x=x, y=y)
    drawn = alt.Chart(means)
    tooltip = _tooltip(means)
    whiskers = drawn.mark_rule(strokeWidth=3, color=BLUE).encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q")
    middles = drawn.mark_point(size=140, filled=True, opacity=1, color=BLUE).encode(
        x=x, y=alt.Y("mean:Q", scale=scale), tooltip=tooltip
    )
    lines = pd.DataFrame({"at": [NOTHING, most], "line": [_("prefers nothing"), _("most there can be")]})
    marks = _across(lines)
    return alt.layer(marks, dots, whiskers, middles).properties(height=_HEIGHT)


def shares_chart(shares: pd.DataFrame, title: str, *, logarithmic: bool = False) -> Any:
    """A line per side of shares over x, within the band of its interval."""
    scale_x = alt.Scale(type="log" if logarithmic else "linear", nice=False)
    axis = alt.Axis(format="~s") if logarithmic else alt.Axis(tickMinStep=1, format="d")
    x = alt.X("x:Q", title=title, scale=scale_x, axis=axis)
    scale = alt.Scale(domain=_up_to(shares["high"]), nice=False)
    shown = shares.rename(columns={"share": "value", "side": "curve"})
    return _curves(shown, x, _("share of windows"), scale).properties(height=_HEIGHT)


def bars_chart(shares: pd.DataFrame, title: str) -> Any:
    """A dot with its interval for each named x and side."""
    order = list(dict.fromkeys(shares["x"]))
    sides = list(dict.fromkeys(shares["side"]))
    x = alt.X("x:N", sort=order, title=title, axis=alt.Axis(labelAngle=0))
    scale = alt.Scale(domain=_up_to(shares["high"]), nice=False)
    colour = alt.Color("side:N", title=None, scale=_colours(sides), legend=_legend())
    shape = alt.Shape("side:N", title=None, scale=alt.Scale(domain=sides), legend=_legend())
    drawn = alt.Chart(shares)
    aside = alt.XOffset("side:N")
    whiskers = drawn.mark_rule(strokeWidth=2).encode(
        x=x, xOffset=aside, y=alt.Y("low:Q", title=_("share of windows"), scale=scale), y2="high:Q", color=colour
    )
    dots = drawn.mark_point(size=110, filled=True, opacity=1).encode(
        x=x, xOffset=aside, y=alt.Y("share:Q", scale=scale), color=colour, shape=shape, tooltip=_tooltip(shares)
    )
    return alt.layer(whiskers, dots).properties(height=_HEIGHT)


def roc_chart(curves: pd.DataFrame, ceiling: pd.DataFrame, least: float) -> Any:
    """True over false positives, both logarithmic: a line per signal in its band, chance, and what a claim allows."""
    low = min([least, *curves["fpr"], *curves["low"][curves["low"] > 0], 0.5])
    scale = alt.Scale(type="log", domain=[low, 1.0], nice=False, clamp=True)
    shown = curves.assign(low=curves["low"].clip(lower=low)).rename(columns={"tpr": "value", "signal": "curve"})
    x = alt.X("fpr:Q", title=_("false-positive rate"), scale=scale, axis=alt.Axis(format="~g"))
    layers = [_diagonal(low, x, scale), _curves(shown, x, _("true-positive rate"), scale, axis=alt.Axis(format="~g"))]
    allowed = ceiling[ceiling["fpr"] >= low]
    if not allowed.empty:
        layers.append(_ceiling(allowed, x, scale))
    return alt.layer(*layers).properties(height=_HEIGHT + 60)


def epsilon_chart(bounds: pd.DataFrame) -> Any:
    """A row per bound on epsilon: bars reach up to what is claimed, arrows start at what is proven."""
    shown = bounds.assign(zero=0.0, most=max(1.0, float(bounds["epsilon"].max()) * 1.08))
    axis = alt.Axis(labelLimit=_LABEL, minExtent=min(_LABEL, 120))
    y = alt.Y("what:N", sort=list(bounds["what"]), title=None, axis=axis)
    scale = alt.Scale(domain=[0.0, float(shown["most"].iloc[0])], nice=False)
    x = alt.X("epsilon:Q", title=_("epsilon"), scale=scale)
    shapes = [CLAIMED, RECOMPUTED, PROVEN, MOST]
    colour = alt.Color("shape:N", scale=_colours(shapes), legend=None)
    drawn = alt.Chart(shown)
    from_above = drawn.transform_filter(alt.FieldOneOfPredicate(field="shape", oneOf=[CLAIMED, RECOMPUTED]))
    from_below = drawn.transform_filter(alt.FieldEqualPredicate(field="shape", equal=PROVEN))
    bars = from_above.mark_bar(height=8, opacity=0.5).encode(
        y=y, x=alt.X("zero:Q", scale=scale), x2="epsilon:Q", color=colour
    )
    arrows = from_below.mark_rule(strokeWidth=3, strokeDash=[2, 3]).encode(y=y, x=x, x2="most:Q", color=colour)
    dots = drawn.mark_point(size=130, filled=True, opacity=1).encode(
        y=y,
        x=x,
        color=colour,
        tooltip=[alt.Tooltip(f"{name}:N") for name in ("what", "epsilon", "shape", "n", "note")],
        shape=alt.Shape(
            "shape:N",
            scale=alt.Scale(domain=shapes, range=["square", "diamond", "triangle-right", "cross"]),
            legend=None,
        ),
    )
    return alt.layer(bars, arrows, dots).properties(height=alt.Step(_ROW))


def _curves(shown: pd.DataFrame, x: Any, title: str, scale: Any, **more: Any) -> Any:
    """A line and a band per curve, dots to point at; frame of curve, x, value, low and high."""
    names = list(dict.fromkeys(shown["curve"]))
    colour = alt.Color("curve:N", title=None, scale=_colours(names), legend=_legend())
    dashes = alt.Scale(domain=names, range=list(_DASHES[: len(names)]))
    dash = alt.StrokeDash("curve:N", title=None, scale=dashes, legend=_legend())
    drawn = alt.Chart(shown)
    low, y = (alt.Y(f"{name}:Q", scale=scale, title=title, **more) for name in ("low", "value"))
    band = drawn.mark_area(opacity=0.18).encode(x=x, y=low, y2="high:Q", color=colour)
    line = drawn.mark_line(strokeWidth=2.5).encode(x=x, y=y, color=colour, strokeDash=dash)
    dots = drawn.mark_point(size=36, filled=True, opacity=0.9).encode(x=x, y=y, color=colour, tooltip=_tooltip(shown))
    return alt.layer(band, line, dots)


def _diagonal(low: float, x: Any, scale: Any) -> Any:
    """Where an attack lies that tells nothing."""
    ends = pd.DataFrame({"fpr": [low, 1.0], "value": [low, 1.0]})
    return alt.Chart(ends).mark_line(strokeDash=[2, 4], color=GREY).encode(x=x, y=alt.Y("value:Q", scale=scale))


def _ceiling(allowed: pd.DataFrame, x: Any, scale: Any) -> Any:
    drawn = alt.Chart(allowed.assign(what=_("the claim allows at most")))
    y = alt.Y("most:Q", scale=scale)
    tooltip = [alt.Tooltip("what:N"), alt.Tooltip("fpr:Q", format="~g"), alt.Tooltip("most:Q", format=".4f")]
    line = drawn.mark_line(strokeDash=[6, 3], strokeWidth=2, color=GREEN).encode(x=x, y=y)
    dots = drawn.mark_point(size=90, shape="triangle-down", color=GREEN, filled=True)
    return alt.layer(line, dots.encode(x=x, y=y, tooltip=tooltip))


def _across(lines: pd.DataFrame) -> Any:
    """Named lines across the whole chart."""
    drawn = alt.Chart(lines)
    rules = drawn.mark_rule(strokeDash=[4, 4], color=ORANGE, strokeWidth=2).encode(y="at:Q", tooltip=["line:N"])
    names = drawn.mark_text(align="left", dy=-7, dx=2, color=GREY_TEXT).encode(y="at:Q", x=alt.value(0), text="line:N")
    return alt.layer(rules, names)


def _tooltip(frame: pd.DataFrame) -> list[Any]:
    return [
        alt.Tooltip(f"{name}:Q", format=".4~g")
        if pd.api.types.is_float_dtype(frame[name])
        else alt.Tooltip(f"{name}:N")
        for name in frame.columns
    ]


def _colours(names: Sequence[str]) -> Any:
    return alt.Scale(domain=list(names), range=[SERIES[place % len(SERIES)] for place in range(len(names))])


def _legend() -> Any:
    return alt.Legend(orient="top", direction="horizontal", columns=3, labelLimit=_LABEL, symbolOpacity=1)


def _up_to(highs: pd.Series[float]) -> list[float]:
    """Ends of an axis of shares: from nothing to what is drawn, a little beyond."""
    return [0.0, min(1.0, max(0.02, 1.05 * float(highs.max())))]


def frontier_chart(private: pd.DataFrame, plain: pd.DataFrame, title: str, floor: float | None) -> Any:
    """Quality over the epsilon claimed, its axis logarithmic: a line per mode; across, the models without privacy."""
    ends = [*private["low"], *private["high"], *plain["low"], *plain["high"], *([] if floor is None else [floor])]
    room = 0.06 * (max(ends) - min(ends)) or 0.05
    scale = alt.Scale(domain=[min(ends) - room, max(ends) + room], nice=False)
    y = alt.Y("value:Q", title=title, scale=scale)
    layers = []
    if not plain.empty:
        across = alt.Chart(plain)
        band = alt.Y("low:Q", scale=scale, title=title)
        layers += [
            across.mark_rect(opacity=0.15, color=GREY).encode(y=band, y2="high:Q"),
            across.mark_rule(strokeWidth=2, color=GREY, strokeDash=[6, 3]).encode(y=y, tooltip=_tooltip(plain)),
        ]
    if floor is not None:
        layers.append(_across(pd.DataFrame({"at": [floor], "line": [_("always the commonest class")]})))
    if not private.empty:
        across_all = alt.Scale(type="log", nice=False, padding=24)
        x = alt.X("epsilon:Q", title=_("epsilon claimed"), scale=across_all, axis=alt.Axis(format="~g"))
        modes = list(dict.fromkeys(private["mode"]))
        colour = alt.Color("mode:N", title=None, scale=_colours(modes), legend=_legend() if len(modes) > 1 else None)
        drawn = alt.Chart(private)
        low = alt.Y("low:Q", scale=scale, title=title)
        layers += [
            drawn.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour),
            drawn.mark_rule(strokeWidth=2).encode(x=x, y=low, y2="high:Q", color=colour),
            drawn.mark_point(size=120, filled=True, opacity=1).encode(
                x=x, y=y, color=colour, tooltip=_tooltip(private)
            ),
        ]
    return alt.layer(*layers).properties(height=_HEIGHT)


def spent_chart(steps: pd.DataFrame) -> Any:
    """Epsilon over the noisy steps of a training."""
    x, y = alt.X("step:Q", title=_("noisy steps")), alt.Y("epsilon:Q", title=_("epsilon spent"))
    line = alt.Chart(steps).mark_line(strokeWidth=2.5, color=BLUE, point=True)
    return line.encode(x=x, y=y, tooltip=_tooltip(steps)).properties(height=_HEIGHT)


def together_chart(trainings: pd.DataFrame, total: float | None) -> Any:
    """Epsilon of the worst record after each training that read it, under the total that all keep to."""
    order = list(trainings["training"])
    axis = alt.Axis(labelAngle=-30, labelLimit=_LABEL)
    x = alt.X("training:N", sort=order, title=_("training, the oldest first"), axis=axis)
    highest = max([float(trainings["epsilon"].max()), total or 0.0])
    y = alt.Y("epsilon:Q", title=_("epsilon together"), scale=alt.Scale(domain=[0.0, highest * 1.08], nice=False))
    drawn = alt.Chart(trainings).mark_bar(color=BLUE, size=18).encode(x=x, y=y, tooltip=_tooltip(trainings))
    layers = [drawn]
    if total is not None:
        layers.append(_across(pd.DataFrame({"at": [total], "line": [_("total")]})))
    return alt.layer(*layers).properties(height=_HEIGHT)
