"""Trains and scores the cells of a curve. What is finished is kept; what was stopped goes on where it was."""

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
from privacy.curve.cells import Cell, Curve
from privacy.curve.measure import LearningCurve, measure
from privacy.curve.report import markdown, page
from privacy.curve.rows import cell_rows, failed_row, write_curve
from privacy.curve.subsets import write_subsets
from privacy.curve.words import outcome
from privacy.frontier.folder import Kept, open_cells
from privacy.frontier.score import AUDITS, probe_of, score
from privacy.training import train

MARKDOWN, HTML = "curve.md", "curve.html"
_KEPT = Kept("curve", "curve", "curve.json")


@dataclass(frozen=True, slots=True)
class CurveResult:
    """A finished curve."""

    rows: pd.DataFrame
    curve: LearningCurve
    files: tuple[Path, ...]
    """Rows, table and plot."""


def run_curve(curve: Curve, watch: Watch | None = None) -> CurveResult:
    """Train and score every cell, then measure. A cell that fails becomes an error row, and the others go on.

    Raises UsageError or DataError before the first cell, AuditError when no cell succeeds.
    """
    watch = watch or Watch()
    _open(curve)
    rows = pd.concat(_cells(curve, watch), ignore_index=True)
    written = write_curve(curve.output, rows)
    found = measure(rows)
    if not found.points:
        cell, reason = next(iter(found.failures.items()))
        raise AuditError(f"none of the {len(curve.cells)} cells succeeded; {cell}: {reason}")
    texts = {MARKDOWN: markdown(found), HTML: page(found)}
    for name, text in texts.items():
        write_text(curve.output / name, text)
    return CurveResult(rows, found, (written, *(curve.output / name for name in texts)))


def _open(curve: Curve) -> None:
    """What would fail in every cell fails here, with a sentence of its own; the subsets are written."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("a curve trains its models one after the other in one process; start it without a launcher")
    pick(find_probes(), probe_of(curve.spec))
    if curve.spec.base is not None:
        inspect_checkpoint(curve.spec.base)
    open_cells(curve.output, curve.settings, curve.data.members.digest, curve.spec.data.source, _KEPT)
    write_subsets(curve.data, curve.output, curve.seeds)


def _cells(curve: Curve, watch: Watch) -> Iterator[pd.DataFrame]:
    """Rows of each cell, one cell after the other."""

    def work(cell: Cell) -> tuple[pd.DataFrame, Work]:
        with watch.training() as on_step:
            result = train(cell.spec, progress=on_step, if_missing=True)
        with watch.cases() as on_progress:
            probed = score(cell.spec, result.manifest.weights, curve.output / AUDITS, on_progress, again="curve")
        rows = cell_rows(curve, cell, result.manifest, probed)
        return rows, Work(f"{outcome(rows)}{'' if result.trained else ', trained before'}", result.trained)

    for cell, made in each_cell(curve.cells, lambda cell: cell.name, work, watch.say):
        yield failed_row(curve, cell, made.reason) if isinstance(made, Failure) else made
