from __future__ import annotations

import re
import sys
from itertools import pairwise

import pytest

from dashboards.whiskers import TICKS, Axis, Dot, Key, Line, axis_of, ticks_of, whiskers_html
from tests.audit_folder import HOSTILE

LINES = [
    Line("a", "0.5 [0.2, 0.7]", (Dot(0.5, "#111", "cross", 0.2, 0.7), Dot(0.25, "#222", "ring")), (0.75,), "n 9"),
    Line("b", "2", (Dot(2.0, "#333", open="→"),)),
]


def drawn(kind: str, html: str) -> list[float]:
    return [float(left) for left in re.findall(rf'class="{kind}" style="left:([\d.]+)%', html)]


def test_everything_lies_where_its_number_is() -> None:
    html = whiskers_html(LINES, Axis("share", 0.0, 1.0), label="x")
    assert drawn("dot cross", html) == [50.0]
    assert drawn("ring", html) == [25.0]
    assert drawn("limit", html) == [75.0]
    assert drawn("dot circle", html) == [100.0]  # what lies beyond the axis is at its end
    assert re.findall(r"left:([\d.]+)%;width:([\d.]+)%", html)[0] == ("20.00", "50.00")
    assert html.count("→") == 1


def test_an_axis_holds_everything_drawn_and_nothing_where_it_is_asked_for() -> None:
    axis = axis_of("nats", LINES)
    assert axis.low < 0.2
    assert axis.high > 2.0
    assert axis_of("nats", LINES, zero=True).low < 0.0
    assert drawn("zero", whiskers_html(LINES, Axis("d", -1.0, 1.0, zero=True), label="x")) == [50.0, 50.0]


def test_names_of_an_audit_stay_text() -> None:
    lines = [Line(HOSTILE, HOSTILE, (Dot(0.5, "#111"),), more=HOSTILE + '"')]
    keys = [Key(HOSTILE, "#111", "circle")]
    html = whiskers_html(lines, Axis(HOSTILE, 0.0, 1.0), label=HOSTILE + '"', keys=keys, title=HOSTILE)
    assert re.findall(r"</?(?!div|span|p|i)[a-z]+", html) == []
    assert "onerror" not in " ".join(re.findall(r"<[^>]*>", html.replace("&lt;img src=x onerror", "")))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.031, 0.22), (17.2, 18.9), (-3e5, 9e6), (1e-9, 4e-9)])
def test_ticks_are_round_and_fill_the_axis(low: float, high: float) -> None:
    ticks = ticks_of(low, high)
    steps = [after - before for before, after in pairwise(ticks)]
    assert 2 <= len(ticks) <= TICKS + 1
    assert steps == pytest.approx([steps[0]] * len(steps))
    assert f"{steps[0]:.6e}"[0] in "125"
    assert low - 1e-9 * steps[0] <= ticks[0] < low + steps[0]
    assert high - steps[0] < ticks[-1] <= high + 1e-9 * steps[0]


@pytest.mark.parametrize("values", [(sys.float_info.max, -sys.float_info.max), (5e-324, 1e-323), (1e308, 1e308)])
def test_numbers_at_the_ends_of_what_there_is_are_drawn(values: tuple[float, float]) -> None:
    lines = [Line("a", "", (Dot(value, "#111"),)) for value in values]
    html = whiskers_html(lines, axis_of("x", lines), label="x")
    assert len(drawn("dot circle", html)) == 2
    assert "nan" not in html
