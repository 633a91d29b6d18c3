"""The ROC of membership with both axes logarithmic, and the rates that the training's claim allows any attack.

Carlini et al. 2022, arXiv 2112.03570: on a linear axis the low false-positive rates, which are what an attacker works
at, cannot be seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from harness.api.scorer import Floats
from harness.errors import NoDataError
from suites.memorization.hygiene.judgeable import why_unjudgeable
from suites.memorization.hygiene.rates import side_of
from suites.memorization.membership.metrics import LOSS, SIGNALS
from suites.memorization.signals.roc import curve

Points = tuple[tuple[float, float], ...]

_SIZE, _LEFT, _TOP = 420, 60, 20
_COLOURS = ("#b3261e", "#3367a8", "#2e7d32", "#8e5a00", "#6a3fa0", "#00727a", "#5f6368")


@dataclass(frozen=True, slots=True)
class Curve:
    """A signal's (false-positive rate, true-positive rate), rising; points where either is 0 are left out."""

    name: str
    points: Points


def curves(good: pd.DataFrame) -> list[Curve]:
    """Of every signal that the rows have. Raises NoDataError where a side is empty, or texts alone tell the sides."""
    sides = good["member"].nunique()
    why = f"{sides} of two sides were scored" if sides < 2 else why_unjudgeable(good)
    if why is not None:
        raise NoDataError(f"no curve can be drawn: {why}")
    found = []
    for name in (LOSS, *SIGNALS):
        side = side_of(good, name, -1.0 if name == LOSS else 1.0)
        if min(side.sizes):
            found.append(Curve(name, _shown(*curve(side.members, side.non_members))))
    return found


def drawing(found: Sequence[Curve], ceiling: Points) -> str:
    """The SVG. `ceiling`: (rate, the most that the claim allows there); empty where nothing is claimed."""
    rates = [value for each in found for point in each.points for value in point]
    least = 10 ** math.floor(math.log10(min([*rates, 0.5])))  # where all scores are one the only point is (1, 1)
    parts = [_tick(10.0**power, least) for power in range(round(math.log10(least)), 1)]
    parts.append(_line("chance", ((least, least), (1.0, 1.0)), least, "#aaa", dashes="2 4"))
    for place, each in enumerate(found):
        colour = _COLOURS[place % len(_COLOURS)]
        parts += [_line(each.name, each.points, least, colour), _legend(place, each.name, colour)]
    if ceiling:
        within = tuple((rate, allowed) for rate, allowed in ceiling if rate >= least)
        parts.append(_line("the claim allows", within, least, "#000", dashes="6 3"))
        parts.append(_legend(len(found), "the claim allows", "#000"))
    parts.append(_text(_LEFT + _SIZE / 2, _TOP + _SIZE + 38, "false-positive rate", "middle"))
    parts.append(_text(_LEFT, _TOP - 6, "true-positive rate", "start"))
    box = f'viewBox="0 0 {_LEFT + _SIZE + 150} {_TOP + _SIZE + 50}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="12">'
    return "\n".join([svg, *parts, "</svg>\n"])


def _shown(false: Floats, true: Floats) -> Points:
    pairs = ((float(x), float(y)) for x, y in zip(false, true, strict=True) if x > 0 and y > 0)
    return tuple(pairs)


def _at(rate: float, allowed: float, least: float) -> tuple[float, float]:
    """Pixels from the upper left corner."""
    x, y = (1 - math.log10(max(value, least)) / math.log10(least) for value in (rate, allowed))
    return round(_LEFT + _SIZE * x, 1), round(_TOP + _SIZE * (1 - y), 1)


def _line(name: str, points: Iterable[tuple[float, float]], least: float, colour: str, dashes: str = "") -> str:
    shown = " ".join(f"{x},{y}" for x, y in (_at(*point, least) for point in points))
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<polyline points="{shown}" fill="none" stroke="{colour}" stroke-width="1.5"{dashed}>'
        f"<title>{escape(name)}</title></polyline>"
    )


def _tick(rate: float, least: float) -> str:
    x, y = _at(rate, rate, least)
    across = f'<line x1="{_LEFT}" x2="{_LEFT + _SIZE}" y1="{y}" y2="{y}" stroke="#eee"/>'
    down = f'<line x1="{x}" x2="{x}" y1="{_TOP}" y2="{_TOP + _SIZE}" stroke="#eee"/>'
    labels = _text(x, _TOP + _SIZE + 16, f"{rate:g}", "middle") + _text(_LEFT - 6, y + 4, f"{rate:g}", "end")
    return across + down + labels


def _legend(place: int, name: str, colour: str) -> str:
    x, y = _LEFT + _SIZE + 14, _TOP + 10 + 18 * place
    line = f'<line x1="{x}" x2="{x + 16}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
    return line + _text(x + 22, y + 4, name, "start")


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'
