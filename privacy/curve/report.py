"""A curve on a terminal, as Markdown, and as one HTML page; plot, page and tables are drawn as a frontier's."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from harness.reports.formats.markdown import text
from privacy.curve.measure import LearningCurve, Point
from privacy.curve.words import caption, cells, failures, header, title
from privacy.frontier.page import Page, render
from privacy.frontier.plot import Line, Mark, Plot, Tick, ends, floor_line, horizontal, uncrowded, vertical, y_ticks
from privacy.frontier.table import grid, pipes
from privacy.frontier.words import shown

_LAST = 660.0
"""Where the largest size stands."""


def terminal(curve: LearningCurve) -> Group:
    """The table with its caption, and the cells that failed, for rich."""
    lost = [Text(f"failed: {line}", "bold red") for line in failures(curve)]
    table = grid(header(curve), cells(curve))
    return Group(table, Text(), *(Text(line, "dim") for line in caption(curve)), *lost)


def markdown(curve: LearningCurve) -> str:
    """The same as a page."""
    blocks = [f"# {title(curve)}", pipes(header(curve), cells(curve))]
    blocks.append("\n".join(f"- {text(line)}" for line in caption(curve)))
    if curve.failures:
        blocks += ["## Failed", "\n".join(f"- {text(line)}" for line in failures(curve))]
    return "\n\n".join(blocks) + "\n"


def page(curve: LearningCurve) -> str:
    """Plot, table and caption as HTML."""
    return render(
        Page(
            title=title(curve),
            x_title="training records, log scale",
            y_title=curve.quality.value,
            plot=curve_plot(curve),
            legend="Large marks: mean over seeds with its interval; small dots: single seeds.",
            table=(header(curve), cells(curve)),
            caption=caption(curve),
            failures=failures(curve),
        )
    )


def curve_plot(curve: LearningCurve) -> Plot:
    """Geometry of a curve with at least one point; x is the logarithm of the size."""
    scale = shown(curve.quality)
    start, end = ends([scale(value) for point in curve.points for value in _values(point)], curve.quality)
    x, y = horizontal([point.size for point in curve.points], _LAST), vertical(start, end)

    def mark(point: Point, row: tuple[str, ...]) -> Mark:
        interval = point.quality.interval
        return Mark(
            x=x(point.size),
            y=y(scale(point.quality.value)),
            low=y(scale(interval.low)) if interval else None,
            high=y(scale(interval.high)) if interval else None,
            seeds=tuple(y(scale(value)) for value in point.by_seed) if len(point.by_seed) > 1 else (),
            private=True,  # of the frontier's two colours the first
            title="; ".join(f"{name}: {cell}" for name, cell in zip(header(curve), row, strict=True) if cell),
        )

    marks = tuple(mark(point, row) for point, row in zip(curve.points, cells(curve), strict=True))
    return Plot(
        marks,
        tuple(uncrowded([Tick(x(point.size), str(point.size)) for point in curve.points])),
        y_ticks(start, end),
        None,
        (Line("mean over seeds", "", tuple((each.x, each.y) for each in marks)),) if len(marks) > 1 else (),
        floor_line(curve.floor, start, end),
    )


def _values(point: Point) -> list[float]:
    interval = point.quality.interval
    return [point.quality.value, *point.by_seed, *((interval.low, interval.high) if interval else ())]
