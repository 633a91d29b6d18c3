"""Dot and whisker: a value with its interval per line, drawn in HTML.

Not by Vega: its scripts of a megabyte are read by each new tab, and drawing by them took a third of a page's time.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from harness.base import numbers

TICKS = 6
"""Of an axis, about."""
_STEPS = (1, 2, 5, 10)
_ROOM = 0.05
"""Of what is drawn, left free at either end of an axis."""
SHAPES = {"circle": "border-radius:50%", "diamond": "clip-path:polygon(50% 0,100% 50%,50% 100%,0 50%)"} | {
    "cross": "clip-path:polygon(33% 0,67% 0,67% 33%,100% 33%,100% 67%,67% 67%,67% 100%,33% 100%,33% 67%,0 67%,"
    "0 33%,33% 33%)"
}
STYLE = """
.assay-dots { margin: 0 10px .5rem; font-size: .875rem; forced-color-adjust: none; }
.assay-dots p { margin: 0; display: flex; flex-wrap: wrap; gap: 0 1rem; overflow-wrap: anywhere; }
.assay-dots p > :last-child:not(:first-child) { margin-left: auto; }
.assay-dots .key { gap: 0 1rem; justify-content: flex-start; }
.assay-dots .key > * { margin: 0 !important; }
.assay-dots .key i { display: inline-block; width: 11px; height: 11px; }
.assay-dots .line { position: relative; height: 20px; margin-bottom: 4px; }
.assay-dots .line > *, .assay-dots .axis > * { position: absolute; }
.assay-dots .whisker { height: 2px; top: 9px; }
.assay-dots .dot { width: 12px; height: 12px; top: 4px; margin-left: -6px; }
.assay-dots .ring { width: 18px; height: 18px; top: 1px; margin-left: -9px; border: 2.5px solid; border-radius: 50%; }
.assay-dots .below { width: 11px; height: 11px; top: 11px; margin-left: -5.5px; border: 2px solid; border-radius: 50%; }
.assay-dots .whisker.of-below { height: 0; top: 16px; border-top: 2px dotted; background: none !important; }
.assay-dots .limit { width: 3px; height: 18px; top: 1px; margin-left: -1.5px; background: #000;
  box-shadow: 0 0 0 1.5px #fff; }
.assay-dots .zero { height: 28px; top: -4px; border-left: 1px dashed currentColor; }
.assay-dots .open { top: -1px; line-height: 20px; font-size: 16px; }
.assay-dots .axis { position: relative; height: 24px; border-top: 1px solid currentColor; }
.assay-dots .axis > * { top: 0; padding-top: 4px; transform: translateX(-50%); font-size: .75rem; }
.assay-dots .title { text-align: center; font-weight: 600; }
""" + "".join(f".assay-dots .{shape} {{ {rule} }}\n" for shape, rule in SHAPES.items())
"""For the page on which charts stand, once."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A value with its interval; `shape` is one of SHAPES, a ring around what else is there, or one below it."""

    value: float
    colour: str
    shape: str = "circle"
    low: float | None = None
    high: float | None = None
    open: str = ""
    """An arrow to the side on which the interval has no end, so that nobody takes the value for its end."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart: its name, what is said of it beside, and what lies on it, the last on top.

    `more` is told where the pointer rests on it.
    """

    name: str
    said: str
    dots: tuple[Dot, ...]
    limits: tuple[float, ...] = ()
    more: str = ""


@dataclass(frozen=True, slots=True)
class Axis:
    """What all lines of a chart share; `zero` draws a line where nothing differs."""

    title: str
    low: float
    high: float
    zero: bool = False

    def place(self, value: float) -> float:
        """Percent of the way from its low end, within [0, 100]."""
        length = self.high - self.low
        return min(100.0, max(0.0, 100 * (value - self.low) / length)) if 0 < length < math.inf else 50.0


@dataclass(frozen=True, slots=True)
class Key:
    """What a shape and its colour stand for."""

    name: str
    colour: str
    shape: str


def axis_of(title: str, lines: Iterable[Line], *, zero: bool = False) -> Axis:
    """An axis a little longer than everything on the lines, across 0 only where they are; from 0 to 1 for nothing."""
    drawn = [value for line in lines for value in (*line.limits, *_values(line.dots))] + [0.0] * zero
    low, high = min(drawn, default=0.0), max(drawn, default=0.0)
    if zero:  # the line where nothing differs has room on either side
        room = _ROOM * (high - low) or 1.0
        return Axis(title, low - room, high + room, zero)
    return Axis(title, *(numbers.padded(low, high, _ROOM) if low or high else (0.0, 1.0)))


def whiskers_html(lines: Sequence[Line], axis: Axis, *, label: str, keys: Sequence[Key] = (), title: str = "") -> str:
    """The chart; `keys` and their `title` stand above it. `label` is read to who does not see it."""
    key = f"<span>{escape(title)}</span>" + "".join(
        f'<span><i class="{each.shape}" style="background:{each.colour}"></i> {escape(each.name)}</span>'
        for each in keys
    )
    ticks = "".join(
        f'<span style="left:{axis.place(tick):.2f}%">{escape(numbers.bound(tick))}</span>'
        for tick in ticks_of(axis.low, axis.high)
    )
    return (
        f'<div class="assay-dots" role="img" aria-label="{escape(label)}">'
        + (f'<p class="key">{key}</p>' if keys else "")
        + "".join(_line(line, axis) for line in lines)
        + f'<div class="axis">{ticks}</div><div class="title">{escape(axis.title)}</div></div>'
    )


def ticks_of(low: float, high: float) -> list[float]:
    """Round numbers from low to high, about TICKS of them: multiples of 1, 2 or 5 times a power of ten."""
    least = (high - low) / TICKS
    if not sys.float_info.min < least < math.inf:
        return []
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * each for each in _STEPS if power * each >= least)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def _line(line: Line, axis: Axis) -> str:
    marks = f'<i class="zero" style="left:{axis.place(0.0):.2f}%"></i>' if axis.zero else ""
    marks += "".join(f'<i class="limit" style="left:{axis.place(limit):.2f}%"></i>' for limit in line.limits)
    marks += "".join(_dot(dot, axis) for dot in line.dots)
    return (
        f'<div title="{escape(line.more)}"><p><span>{escape(line.name)}</span><span>{escape(line.said)}</span></p>'
        f'<div class="line">{marks}</div></div>'
    )


def _dot(dot: Dot, axis: Axis) -> str:
    at, low, high = (axis.place(dot.value if each is None else each) for each in (dot.value, dot.low, dot.high))
    hue = f"background:{dot.colour};color:{dot.colour}"
    marks = f'<i class="whisker of-{dot.shape}" style="left:{low:.2f}%;width:{high - low:.2f}%;{hue}"></i>'
    if dot.open:
        aside = "12px" if dot.open == "→" else "-28px"
        marks += f'<span class="open" style="left:{at:.2f}%;margin-left:{aside};color:{dot.colour}">{dot.open}</span>'
    drawn = f"dot {dot.shape}" if dot.shape in SHAPES else dot.shape
    hue = hue if dot.shape in SHAPES else f"color:{dot.colour}"
    return marks + f'<i class="{drawn}" style="left:{at:.2f}%;{hue}"></i>'


def _values(dots: Iterable[Dot]) -> list[float]:
    return [value for dot in dots for value in (dot.value, dot.low, dot.high) if value is not None]
