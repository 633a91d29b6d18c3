"""The frontier as a table on a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from harness.reports.formats.markdown import text
from privacy.frontier.measure import Frontier
from privacy.frontier.words import best_cells, best_header, caption, cells, failures, header


def terminal(frontier: Frontier) -> Group:
    """The table with its caption, and the cells that failed, for rich."""
    tables = [grid(header(frontier), cells(frontier))]
    if frontier.best:
        tables.append(grid(best_header(frontier), best_cells(frontier)))
    parts = [part for table in tables for part in (table, Text())]
    lost = [Text(f"failed: {line}", "bold red") for line in failures(frontier)]
    return Group(*parts, *(Text(line, "dim") for line in caption(frontier)), *lost)


def grid(titles: Iterable[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table for rich."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for title in titles:
        table.add_column(title.replace(" ", "\n", 1), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def markdown(frontier: Frontier) -> str:
    """The table with its caption, and the cells that failed."""
    blocks = [
        f"# Privacy and {frontier.quality.value}",
        pipes(header(frontier), cells(frontier)),
        *((pipes(best_header(frontier), best_cells(frontier)),) if frontier.best else ()),
        "\n".join(f"- {text(line)}" for line in caption(frontier)),
    ]
    if frontier.failures:
        blocks += ["## Failed", "\n".join(f"- {text(line)}" for line in failures(frontier))]
    return "\n\n".join(blocks) + "\n"


def pipes(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [[text(title) for title in titles], ["---"] * len(titles), *([text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
