"""Curves as one SVG and as a table of numbers: told apart by dashes as well as colours, readable in print and dark."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from harness.api.curves import Curve, CurvePlot, Point
from harness.base import numbers
from harness.base.colours import SERIES
from harness.base.language import _
from harness.base.loglines import plain

_SIZE, _LEFT, _TOP, _RIGHT = 420, 60, 20, 20
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "4 2", "1 4")
_ROW = 18
"""Pixels of a row of the legend, two curves each: beneath the plot, so that a phone shows it larger."""
_STEPS = (1, 2, 5)
"""Of a decade: the rows of the table."""
_FINEST = 1e-12
"""No axis begins below it."""
_TICKS = 5


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    log: bool

    def place(self, value: float) -> float:
        """Share of the axis in [0, 1]."""
        if self.log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, share))

    def ticks(self) -> list[float]:
        if self.log:
            powers = range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)
            return [10.0**power for power in powers]
        return [self.low + (self.high - self.low) * step / _TICKS for step in range(_TICKS + 1)]


def drawing(plot: CurvePlot) -> str:
    """The SVG, escaped, without a style sheet: it stands alone, in a page and in a PDF."""
    across = _axis([point.x for curve in plot.curves for point in curve.points], plot.log)
    up = _axis([point.y for curve in plot.curves for point in curve.points], plot.log)
    parts = [_tick(tick, across, upright=True) for tick in across.ticks()]
    parts += [_tick(tick, up, upright=False) for tick in up.ticks()]
    first = next((curve for curve in plot.curves if curve.n is not None), None)
    if first is not None:
        parts.append(_band(first, across, up))
    for at, curve in enumerate(plot.curves):
        style = _style(curve, at)
        parts += [_line(curve, across, up, style), _legend(at, plain(curve.name), style)]
    parts.append(_text(_LEFT + _SIZE / 2, _TOP + _SIZE + 38, plain(plot.x), "middle"))
    parts.append(_text(_LEFT, _TOP - 6, plain(plot.y), "start"))
    width, height = _LEFT + _SIZE + _RIGHT, _TOP + _SIZE + 58 + _ROW * math.ceil(len(plot.curves) / 2)
    svg = (
        f'<svg class="curves" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" font-family="sans-serif" font-size="12"><title>{escape(plain(plot.title))}: '
        f"{escape(', '.join(plain(curve.name) for curve in plot.curves))}</title>"
    )
    return "\n".join([svg, *parts, "</svg>\n"])


def table(plot: CurvePlot) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of the same numbers, from where something was measured on.

    Each curve's last point at or left of 1, 2 and 5 of every decade; of linear axes at the ticks.
    """
    header = (plain(plot.x), *(plain(curve.name) for curve in plot.curves))
    axis = _axis([point.x for curve in plot.curves for point in curve.points], plot.log)
    places = axis.ticks()
    if plot.log:
        places = [step * tick for tick in places for step in _STEPS if step * tick <= axis.high]
    rows = [(f"{place:.6g}", *(_at(curve, place) for curve in plot.curves)) for place in places]
    first = min((curve.points[0].x for curve in plot.curves if curve.n is not None), default=-math.inf)
    return header, [row for place, row in zip(places, rows, strict=True) if place * (1 + 1e-9) >= first]


def sentence(plot: CurvePlot) -> str:
    """Where a report without drawings says that there is one."""
    values = {"title": plain(plot.title), "n": len(plot.curves), "command": plain(plot.command)}
    if not plot.command:
        return _("{title}: {n} curves, drawn in the HTML report", **values)
    return _("{title}: {n} curves, drawn in the HTML report and by: {command}", **values)


def _axis(values: Sequence[float], log: bool) -> _Axis:
    if log:
        above = [value for value in values if value >= _FINEST] or [1.0]
        low = 10.0 ** math.floor(math.log10(min(above)) + 1e-9)
        high = 10.0 ** math.ceil(math.log10(max(above)) - 1e-9)
        return _Axis(low if low < high else high / 10, high, log)
    low, high = min(0.0, *values), max(values)
    return _Axis(low, high if high > low else low + 1, log)


def _at(curve: Curve, place: float) -> str:
    """The number that stands at `place`, with its interval; '' left of the first point."""
    at = bisect.bisect_right([point.x for point in curve.points], place * (1 + 1e-9))
    if at == 0:
        return ""
    point = curve.points[at - 1]
    if curve.n is None and at < len(curve.points):  # a computed line goes on between its points
        return numbers.number(_between(point, curve.points[at], place), 3)
    bounded = point.low is not None or point.high is not None
    interval = f" {numbers.interval(point.low, point.high, 3)}" if bounded else ""
    return f"{numbers.number(point.y, 3)}{interval}"


def _between(before: Point, after: Point, place: float) -> float:
    share = (place - before.x) / (after.x - before.x) if after.x > before.x else 0.0
    return before.y + max(0.0, share) * (after.y - before.y)


@dataclass(frozen=True, slots=True)
class _Style:
    kind: str
    colour: str
    dashes: str
    width: float


def _style(curve: Curve, at: int) -> _Style:
    if curve.claimed:
        return _Style("claimed", "#1c2330", "8 4", 2)
    if curve.n is None:
        return _Style("reference", "#9aa3b2", "2 4", 1.5)
    return _Style("measured", SERIES[at % len(SERIES)], _DASHES[at % len(_DASHES)], 1.5)


def _pixels(point: tuple[float, float], across: _Axis, up: _Axis) -> str:
    """Pixels from the upper left corner."""
    return f"{_LEFT + _SIZE * across.place(point[0]):.1f},{_TOP + _SIZE * (1 - up.place(point[1])):.1f}"


def _path(points: Iterable[tuple[float, float]], across: _Axis, up: _Axis) -> str:
    return " ".join(_pixels(point, across, up) for point in points)


def _line(curve: Curve, across: _Axis, up: _Axis, style: _Style) -> str:
    points = _path(((point.x, point.y) for point in curve.points), across, up)
    return (
        f'<polyline class="{style.kind}" points="{points}" fill="none" stroke="{style.colour}" '
        f'stroke-width="{style.width}"{_dashed(style)}><title>{escape(plain(curve.name))}</title></polyline>'
    )


def _band(curve: Curve, across: _Axis, up: _Axis) -> str:
    """The intervals of the first curve; those of all would hide each other, and stand in the table."""
    both = [(point.x, point.low, point.high) for point in curve.points]
    known = [(x, low, high) for x, low, high in both if low is not None and high is not None]
    if len(known) < 2:
        return ""
    around = [(x, high) for x, _low, high in known] + [(x, low) for x, low, _high in reversed(known)]
    name = escape(_("interval of {curve}", curve=plain(curve.name)))
    return (
        f'<polygon points="{_path(around, across, up)}" fill="{SERIES[0]}" fill-opacity="0.15" stroke="none">'
        f"<title>{name}</title></polygon>"
    )


def _dashed(style: _Style) -> str:
    return f' stroke-dasharray="{style.dashes}"' if style.dashes else ""


def _tick(value: float, axis: _Axis, *, upright: bool) -> str:
    label = f"{value:.6g}"
    if upright:
        x = round(_LEFT + _SIZE * axis.place(value), 1)
        ends = f'x1="{x}" x2="{x}" y1="{_TOP}" y2="{_TOP + _SIZE}"'
        words = _text(x, _TOP + _SIZE + 16, label, "middle")
    else:
        y = round(_TOP + _SIZE * (1 - axis.place(value)), 1)
        ends, words = f'x1="{_LEFT}" x2="{_LEFT + _SIZE}" y1="{y}" y2="{y}"', _text(_LEFT - 6, y + 4, label, "end")
    return f'<line class="grid" stroke="#d5dae3" {ends}/>{words}'


def _legend(place: int, name: str, style: _Style) -> str:
    x, y = _LEFT + _SIZE // 2 * (place % 2), _TOP + _SIZE + 62 + _ROW * (place // 2)
    line = (
        f'<line class="{style.kind}" x1="{x}" x2="{x + 26}" y1="{y}" y2="{y}" stroke="{style.colour}" '
        f'stroke-width="{style.width}"{_dashed(style)}/>'
    )
    return line + _text(x + 32, y + 4, name, "start")


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="#586174">{escape(words)}</text>'
