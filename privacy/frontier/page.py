"""The frontier as one HTML file: plot, table and caption; no script, no request, every text escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

from harness.reports.formats.template import html_environment
from privacy.frontier import plot as geometry
from privacy.frontier.measure import Frontier
from privacy.frontier.plot import frontier_plot
from privacy.frontier.words import best_cells, best_header, caption, cells, failures, header


def page(frontier: Frontier) -> str:
    """The whole page."""
    return _template().render(
        quality=frontier.quality.value,
        plot=frontier_plot(frontier),
        at=geometry,
        header=header(frontier),
        cells=list(cells(frontier)),
        best_header=best_header(frontier),
        best_cells=list(best_cells(frontier)),
        caption=caption(frontier),
        failures=failures(frontier),
    )


@cache
def _template() -> jinja2.Template:
    environment = html_environment(Path(__file__).parent)
    environment.filters["px"] = lambda value: f"{value:.1f}"
    return environment.get_template("frontier.html")
