"""Trains and scores the cells of a grid. What is finished is kept; what was stopped goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.api.progress import Watch
from harness.api.registry import find_probes, pick
from harness.base.files import write_text
from harness.campaign.cells import Failure, Work, each_cell
from harness.checkpoint import inspect_checkpoint
from harness.errors import AuditError, UsageError
from harness.provenance.trade_off import TRADE_OFF_NAME
from privacy.frontier.as_json import as_json
from privacy.frontier.folder import open_folder
from privacy.frontier.grid import Cell, Grid
from privacy.frontier.measure import Frontier, measure
from privacy.frontier.page import page
from privacy.frontier.rows import cell_rows, failed_row, write_frontier
from privacy.frontier.score import AUDITS, probe_of, score
from privacy.frontier.table import markdown
from privacy.frontier.words import outcome
from privacy.training import train
from privacy.training.data.load import load_training_data
from privacy.training.private.total import check_grid

MARKDOWN, HTML = "frontier.md", "frontier.html"


@dataclass(frozen=True, slots=True)
class FrontierResult:
    """A finished grid."""

    rows: pd.DataFrame
    frontier: Frontier
    files: tuple[Path, ...]
    """Rows, table and plot."""


def run_frontier(grid: Grid, watch: Watch | None = None) -> FrontierResult:
    """Train and score every cell, then measure. A cell that fails becomes an error row, and the others go on.

    Raises UsageError or DataError before the first cell, AuditError when no cell succeeds.
    """
    watch = watch or Watch()
    _check(grid)
    rows = pd.concat(_cells(grid, watch), ignore_index=True)
    written = write_frontier(grid.output, rows)
    frontier = measure(rows)
    if not frontier.points:
        cell, reason = next(iter(frontier.failures.items()))
        raise AuditError(f"none of the {len(grid.cells)} cells succeeded; {cell}: {reason}")
    texts = {MARKDOWN: markdown(frontier), HTML: page(frontier), TRADE_OFF_NAME: as_json(frontier)}
    for name, text in texts.items():
        write_text(grid.output / name, text)
    return FrontierResult(rows, frontier, (written, *(grid.output / name for name in (MARKDOWN, HTML))))


def _check(grid: Grid) -> None:
    """What would fail in every cell fails here, with a sentence of its own."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("a frontier trains its models one after the other in one process; start it without a launcher")
    pick(find_probes(), probe_of(grid.spec))
    bases = {cell.spec.base.source: cell.spec.base for cell in grid.cells if cell.spec.base}
    for base in bases.values():
        inspect_checkpoint(base)
    private = next((cell.spec for cell in grid.cells if cell.spec.privacy), None)
    if private is not None:
        check_grid([cell.spec for cell in grid.cells], load_training_data(private))  # labels have rules of their own
    open_folder(grid, load_training_data(grid.spec).members.digest)


def _cells(grid: Grid, watch: Watch) -> Iterator[pd.DataFrame]:
    """Rows of each cell, one cell after the other."""

    def work(cell: Cell) -> tuple[pd.DataFrame, Work]:
        rows, trained = _cell(cell, grid.output / AUDITS, watch)
        return rows, Work(f"{outcome(rows)}{'' if trained else ', trained before'}", trained)

    for cell, made in each_cell(grid.cells, lambda cell: cell.name, work, watch.say):
        yield failed_row(cell, made.reason) if isinstance(made, Failure) else made


def _cell(cell: Cell, audits: Path, watch: Watch) -> tuple[pd.DataFrame, bool]:
    """Rows of a cell, and whether it had to be trained."""
    with watch.training() as on_step:
        result = train(cell.spec, progress=on_step, if_missing=True)
    with watch.cases() as on_progress:
        probed = score(cell.spec, result.manifest.weights, audits, on_progress, again="frontier")
    return cell_rows(cell, result.manifest, probed), result.trained
