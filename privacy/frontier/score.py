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
from privacy.training.settings.spec import TrainSpec

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


def score(spec: TrainSpec, weights: str, audits: Path, on_progress: OnProgress, *, again: str) -> pd.DataFrame:
    """The probe's rows of a cell, trained by `spec`, on the held-out records, which the spec has.

    What an earlier audit of the same did is not done again. Raises AuditError where other weights than these were
    scored; the command `again` trains and scores anew.
    """
    start = partial(start_audit, command=["assay", again])
    made = audited(_audit_spec(spec, audits), start, on_progress)
    check_weights(made, weights, f"scored; run the {again} again")
    return made.folder.rows(probe_of(spec.task))


def _audit_spec(spec: TrainSpec, audits: Path) -> AuditSpec:
    probe, data = _PROBES[spec.task]
    assert spec.held_out is not None  # whoever makes the cells has checked it
    return AuditSpec(
        name=spec.output.name,
        checkpoint=CheckpointSource(source=str(spec.output)),
        probes=(ProbeSpec(name=probe, data={data: spec.held_out}),),
        device=spec.device,
        dtype="fp32",
        tracking=Tracking(uri="off"),
        output=audits,
    )
