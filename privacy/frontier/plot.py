"""Geometry of the frontier's plot: where its marks lie, in pixels from the upper left corner."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from harness.base.numbers import bound
from privacy.frontier.measure import Frontier, Point
from privacy.frontier.rows import Quality
from privacy.frontier.words import cells, header, shown

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 76, 700, 20, 340
_PLAIN = 646.0
"""Where the models without privacy stand."""
_FIRST, _LAST = 116.0, 556.0
"""Where the smallest and the largest epsilon stand."""
_TICKS = 4
_APART = 7.0
"""Pixels between the marks of two modes at one epsilon."""
_CROWDED = 30
"""Pixels that two labels need between them."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis with what is written there."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """One epsilon: a dot, its whisker, and a small dot per seed."""

    x: float
    y: float
    low: float | None
    high: float | None
    seeds: tuple[float, ...]
    private: bool
    title: str
    style: str = ""
    """Class of its colour, where there are several modes."""


@dataclass(frozen=True, slots=True)
class Line:
    """The curve of a mode, or the best of each epsilon."""

    name: str
    style: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything that is drawn."""

    marks: tuple[Mark, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    plain: Mark | None
    """Its line, and the band of its interval, go across."""
    lines: tuple[Line, ...]
    """None unless there are several modes; the best last."""
    floor: float | None
    """Line of always giving the commonest class; None where it lies outside of the plot."""


def frontier_plot(frontier: Frontier) -> Plot:
    """The plot of a frontier with at least one point; x is the logarithm of the claimed epsilon."""
    scale = shown(frontier.quality)
    start, end = ends([scale(value) for point in frontier.points for value in _values(point)], frontier.quality)
    y = vertical(start, end)
    x = horizontal([_epsilon(point) for point in frontier.points if point.private])
    titles = [_title(header(frontier), row) for row in cells(frontier)]
    marks = tuple(
        Mark(
            x=x(_epsilon(point)) + _aside(frontier, point) if point.private else _PLAIN,
            y=y(scale(point.quality.value)),
            low=y(scale(point.quality.interval.low)) if point.quality.interval else None,
            high=y(scale(point.quality.interval.high)) if point.quality.interval else None,
            seeds=tuple(y(scale(value)) for value in point.by_seed) if len(point.by_seed) > 1 else (),
            private=point.private,
            title=title,
            style=_style(frontier, point.mode) if point.private else "",
        )
        for point, title in zip(frontier.points, titles, strict=True)
    )
    return Plot(
        marks,
        _x_ticks(frontier.points, x),
        y_ticks(start, end),
        next((mark for mark in marks if not mark.private), None),
        _lines(frontier, marks, lambda value: y(scale(value)), x),
        floor_line(frontier.floor, start, end),
    )


def vertical(start: float, end: float) -> Callable[[float], float]:
    """Where a value of the axis from `start` to `end` lies, in pixels from above."""
    return lambda value: BOTTOM - (BOTTOM - TOP) * (value - start) / (end - start)


def y_ticks(start: float, end: float) -> tuple[Tick, ...]:
    """Ticks of the vertical axis at round numbers."""
    y = vertical(start, end)
    return tuple(Tick(y(float(label)), label) for label in round_numbers(start, end))


def floor_line(floor: float | None, start: float, end: float) -> float | None:
    """Where the line of the commonest class lies; None where that is outside of the plot."""
    return vertical(start, end)(floor) if floor is not None and start <= floor <= end else None


def round_numbers(start: float, end: float) -> list[str]:
    """Four or more multiples of 1, 2 or 5 times a power of ten within [start, end], as they are written."""
    power = math.floor(math.log10(end - start))
    for exponent, factor in product((power, power - 1), (5, 2, 1)):
        step = factor * 10.0**exponent
        first, last = math.ceil(start / step - 1e-9), math.floor(end / step + 1e-9)
        if last - first + 1 >= _TICKS:
            break
    return [f"{step * index:.{max(0, -exponent)}f}" for index in range(first, last + 1)]


def _epsilon(point: Point) -> float:
    """The claim, or the target where the claim has no logarithm."""
    return point.epsilon if 0 < point.epsilon < math.inf else point.target


def horizontal(values: Sequence[float], last: float = _LAST) -> Callable[[float], float]:
    """Where a value lies on a logarithmic axis from the first to `last`, in pixels from the left."""
    if not values:
        return lambda _: _FIRST
    low, high = math.log(min(values)), math.log(max(values))
    if high - low < 1e-9:
        return lambda _: (_FIRST + last) / 2
    return lambda value: _FIRST + (last - _FIRST) * (math.log(value) - low) / (high - low)


def _aside(frontier: Frontier, point: Point) -> float:
    """Pixels that a mode's marks stand beside their epsilon, so that none hides another."""
    modes = frontier.modes
    return _APART * (modes.index(point.mode) - (len(modes) - 1) / 2)


def _style(frontier: Frontier, mode: str) -> str:
    return f"mode-{frontier.modes.index(mode)}" if len(frontier.modes) > 1 else ""


def _lines(
    frontier: Frontier, marks: tuple[Mark, ...], y: Callable[[float], float], x: Callable[[float], float]
) -> tuple[Line, ...]:
    if len(frontier.modes) < 2:
        return ()
    drawn = list(zip(frontier.points, marks, strict=True))
    curves = [
        Line(
            mode,
            _style(frontier, mode),
            tuple((mark.x, mark.y) for point, mark in drawn if point.private and point.mode == mode),
        )
        for mode in frontier.modes
    ]
    at = {point.target: x(_epsilon(point)) for point in frontier.points if point.private}
    best = tuple((at[each.target], y(each.quality.value)) for each in frontier.best)
    return (*curves, Line("best of each epsilon", "best", best))


def _x_ticks(points: tuple[Point, ...], x: Callable[[float], float]) -> tuple[Tick, ...]:
    """A tick per epsilon, named by its target; without a name where it would touch the one to its right."""
    places = {point.target: x(_epsilon(point)) for point in points if point.private}
    ticks = uncrowded([Tick(places[target], bound(target)) for target in sorted(places)])
    return (*ticks, *(Tick(_PLAIN, "none") for point in points if not point.private))


def uncrowded(ticks: Sequence[Tick]) -> list[Tick]:
    """From right to left, given from left to right; without a name where it would touch the one to its right."""
    kept = list(ticks[-1:])
    for tick in reversed(ticks[:-1]):
        named = next(other for other in reversed(kept) if other.label)
        kept.append(tick if named.at - tick.at >= _CROWDED else Tick(tick.at, ""))
    return kept


def ends(drawn: Sequence[float], quality: Quality) -> tuple[float, float]:
    """Ends of the vertical axis: a little beyond everything drawn, shares within [0, 1]."""
    low, high = min(drawn), max(drawn)
    room = 0.06 * (high - low) or 0.1 * abs(high) or 0.1
    if quality is Quality.ACCURACY:
        return max(0.0, low - room), min(1.0, high + room)
    return low - room, high + room


def _values(point: Point) -> list[float]:
    interval = point.quality.interval
    return [point.quality.value, *point.by_seed, *((interval.low, interval.high) if interval else ())]


def _title(titles: tuple[str, ...], row: tuple[str, ...]) -> str:
    return "; ".join(f"{title}: {cell}" for title, cell in zip(titles, row, strict=True) if cell)
