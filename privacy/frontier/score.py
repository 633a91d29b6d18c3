"""Scores a cell: an ordinary audit of its checkpoint by the probe that fits its task."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from harness.api.progress import OnProgress
from harness.audit.plan import AuditPlan, make_plan
from harness.audit.run import resume_plan, run_audit, start_audit
from harness.audit.spec import AuditSpec, ProbeSpec, Tracking
from harness.checkpoint import CheckpointSource
from harness.errors import AuditError, UsageError
from harness.record.events import progress_reader
from harness.record.folder import AuditFolder, Status, audits_in
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
    spec = _audit_spec(cell, audits)
    folder, plan = _begun(spec) or (None, make_plan(spec))
    folder = folder or start_audit(plan, ["assay", "frontier"])
    if folder.manifest().status is not Status.FINISHED:
        run_audit(plan, folder, progress_reader(folder.path, on_progress))
    if folder.manifest().checkpoint.weights != weights:
        raise AuditError(f"{cell.spec.output}: its weights changed while it was scored; run the frontier again")
    return folder.rows(probe_of(cell.spec.task))


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


def _begun(spec: AuditSpec) -> tuple[AuditFolder, AuditPlan] | None:
    """The latest audit of the same checkpoint on the same cases, with its plan."""
    for folder in audits_in(spec.output):
        try:
            if folder.manifest().spec_digest == spec.digest():
                return folder, resume_plan(folder)
        except UsageError:  # damaged, or the checkpoint or the held-out records have changed since
            continue
    return None
