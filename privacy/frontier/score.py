"""Scores a cell: an ordinary audit of its checkpoint by the probe that fits its task."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from harness.api.progress import OnProgress
from harness.audit.run import start_audit
from harness.audit.spec import AuditSpec, ProbeSpec, Tracking
from harness.campaign.audited import audited, check_weights
from harness.checkpoint import CheckpointSource
from privacy.frontier.grid import Cell

AUDITS = "audits"
_PROBES = {
    "classification": ("quality/classification", "examples"),
    "causal_lm": ("quality/perplexity", "texts"),
    "masked_lm": ("quality/perplexity", "texts"),
}
"""Probe, and the name of its input, by training task."""


def probe_of(task: str) -> str:
    """The probe that scores models of a training task."""
    return _PROBES[task][0]


def score(cell: Cell, weights: str, audits: Path, on_progress: OnProgress) -> pd.DataFrame:
    """The probe's rows of the cell on the held-out records. What an earlier audit of the same did is not done again.

    Raises AuditError where other weights than these were scored.
    """
    start = partial(start_audit, command=["assay", "frontier"])
    made = audited(_audit_spec(cell, audits), start, on_progress)
    check_weights(made, weights, "scored; run the frontier again")
    return made.folder.rows(probe_of(cell.spec.task))


def _audit_spec(cell: Cell, audits: Path) -> AuditSpec:
    probe, data = _PROBES[cell.spec.task]
    assert cell.spec.held_out is not None  # make_grid has checked it
    return AuditSpec(
        name=cell.name,
        checkpoint=CheckpointSource(source=str(cell.spec.output)),
        probes=(ProbeSpec(name=probe, data={data: cell.spec.held_out}),),
        device=cell.spec.device,
        dtype="fp32",
        tracking=Tracking(uri="off"),
        output=audits,
    )
