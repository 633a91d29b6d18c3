"""Scores a cell: an ordinary audit of its checkpoint by the probe that fits its task."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from harness.api.progress import OnProgress
from harness.audit.run import start_audit
from harness.audit.spec import AuditSpec, ProbeSpec, Tracking
from harness.campaign.audited import audited, check_weights
from harness.checkpoint import CheckpointSource
from harness.data.datasets import DataSource
from privacy.training.data.completions import COLUMNS, with_columns
from privacy.training.settings.spec import TrainSpec

AUDITS = "audits"
_COMPLETIONS = "quality/completions"
_PROBES = {
    "classification": ("quality/classification", "examples"),
    "causal_lm": ("quality/perplexity", "texts"),
    "masked_lm": ("quality/perplexity", "texts"),
}
"""Probe, and the name of its input, by training task."""


def probe_of(spec: TrainSpec) -> str:
    """The probe that scores models trained by a spec: of completions those alone."""
    return _COMPLETIONS if spec.completions != "none" else _PROBES[spec.task][0]


def score(spec: TrainSpec, weights: str, audits: Path, on_progress: OnProgress, *, again: str) -> pd.DataFrame:
    """The probe's rows of a cell, trained by `spec`, on the held-out records, which the spec has.

    What an earlier audit of the same did is not done again. Raises AuditError where other weights than these were
    scored; the command `again` trains and scores anew.
    """
    start = partial(start_audit, command=["assay", again])
    made = audited(_audit_spec(spec, audits), start, on_progress)
    check_weights(made, weights, f"scored; run the {again} again")
    return made.folder.rows(probe_of(spec))


def _probe(spec: TrainSpec, held_out: DataSource) -> ProbeSpec:
    if spec.completions == "none":
        name, data = _PROBES[spec.task]
        return ProbeSpec(name=name, data={data: held_out})
    names = with_columns(held_out).columns
    given: dict[str, Any] = {"columns": {its: names[ours] for ours, its in COLUMNS.items()}}
    if held_out.distinct is not None:
        given["distinct"] = COLUMNS.get(held_out.distinct, held_out.distinct)
    return ProbeSpec(
        name=_COMPLETIONS,
        params={"chat": spec.completions == "chat"},
        data={"completions": held_out.model_copy(update=given)},
    )


def _audit_spec(spec: TrainSpec, audits: Path) -> AuditSpec:
    assert spec.held_out is not None  # whoever makes the cells has checked it
    return AuditSpec(
        name=spec.output.name,
        checkpoint=CheckpointSource(source=str(spec.output)),
        probes=(_probe(spec, spec.held_out),),
        device=spec.device,
        dtype="fp32",
        tracking=Tracking(uri="off"),
        output=audits,
    )
