"""The frontier as one HTML file: plot, table and caption; no script, no request, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import jinja2

from harness.reports.formats.template import html_environment
from privacy.frontier import plot as geometry
from privacy.frontier.measure import Frontier
from privacy.frontier.plot import Plot, frontier_plot
from privacy.frontier.words import best_cells, best_header, caption, cells, failures, header

Table = tuple[Sequence[str], Iterable[Sequence[str]]]
"""Titles of the columns, and the rows."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page of trained cells shows."""

    title: str
    x_title: str
    y_title: str
    plot: Plot
    legend: str
    """What the marks are."""
    table: Table
    caption: Sequence[str]
    failures: Sequence[str]
    best: Table = field(default=((), ()))


def page(frontier: Frontier) -> str:
    """The whole page."""
    plot = frontier_plot(frontier)
    across = " Line and band across: without privacy." if plot.plain else ""
    return render(
        Page(
            title=f"Privacy and {frontier.quality.value}",
            x_title="epsilon, log scale (smaller protects more; none: without privacy)",
            y_title=frontier.quality.value,
            plot=plot,
            legend=f"Large marks: mean over seeds with its interval; small dots: single seeds.{across}",
            table=(header(frontier), cells(frontier)),
            caption=caption(frontier),
            failures=failures(frontier),
            best=(best_header(frontier), best_cells(frontier)),
        )
    )


def render(shown: Page) -> str:
    """The page as HTML."""
    (titles, rows), (best_titles, best_rows) = shown.table, shown.best
    return _template().render(
        page=shown,
        plot=shown.plot,
        at=geometry,
        header=titles,
        cells=list(rows),
        best_header=best_titles,
        best_cells=list(best_rows),
    )


@cache
def _template() -> jinja2.Template:
    environment = html_environment(Path(__file__).parent)
    environment.filters["px"] = lambda value: f"{value:.1f}"
    return environment.get_template("frontier.html")
