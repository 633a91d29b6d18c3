"""The rows of a frontier: one per epsilon, seed and held-out example; an error row for a cell that failed."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from harness.base.files import write_atomic
from harness.errors import AuditError, UsageError
from harness.provenance.manifest import PrivacyClaim, TrainingManifest
from privacy.frontier.grid import Cell
from privacy.sampling import (
    BallsInBinsSampling,
    CyclicPoissonSampling,
    PoissonSampling,
    ShuffledOnceSampling,
    ShuffledSampling,
    TruncatedPoissonSampling,
)

FILE_NAME = "frontier.parquet"


class Quality(StrEnum):
    """What is measured."""

    ACCURACY = "accuracy"
    PERPLEXITY = "perplexity"
    PSEUDO = "pseudo-perplexity"

    @staticmethod
    def of(task: str) -> Quality:
        """Of the models of a training task."""
        return {"classification": Quality.ACCURACY, "causal_lm": Quality.PERPLEXITY, "masked_lm": Quality.PSEUDO}[task]


class FrontierRow(pa.DataFrameModel):
    """Settings and claim of a cell, the same in all of its rows, and what its model did on one held-out example."""

    class Config:
        """Columns are cast, and no others are let in."""

        coerce = True
        strict = True

    quality: Series[str] = pa.Field(isin=[*Quality])
    data: Series[str]
    """Source of the held-out records."""
    records: Series[pd.Int64Dtype] = pa.Field(nullable=True)
    """Records trained on."""
    checkpoint: Series[str]
    """Name of the cell's folder."""
    target_epsilon: Series[float] = pa.Field(gt=0)
    """Asked for; inf: trained without differential privacy."""
    mode: Series[str] = pa.Field(nullable=True)
    """What was trained of the model; missing in rows of older versions, which knew no modes."""
    seed: Series[int] = pa.Field(ge=0)
    epsilon: Series[float] = pa.Field(nullable=True, ge=0)
    """Upper bound claimed; inf without privacy."""
    delta: Series[float] = pa.Field(nullable=True)
    accountant: Series[str] = pa.Field(nullable=True)
    unit: Series[str] = pa.Field(nullable=True)
    """What the guarantee protects."""
    noise_multiplier: Series[float] = pa.Field(nullable=True)
    sample_rate: Series[float] = pa.Field(nullable=True)
    """With the next two what was released, so that cells can be composed; missing in rows of older versions."""
    compositions: Series[pd.Int64Dtype] = pa.Field(nullable=True)
    group: Series[pd.Int64Dtype] = pa.Field(nullable=True)
    """Most records of one unit."""
    max_batch: Series[pd.Int64Dtype] = pa.Field(nullable=True)
    """Cap of a truncated batch; missing without one."""
    bins: Series[pd.Int64Dtype] = pa.Field(nullable=True)
    """Steps of an epoch of balls in bins; missing in other samplings."""
    note: Series[str] = pa.Field(nullable=True)
    """What the claim's reader must know."""
    seconds: Series[float] = pa.Field(nullable=True)
    """Training time of the cell, of the process that finished it."""
    weights: Series[str] = pa.Field(nullable=True)
    """sha256 digest of the cell's weights."""
    case_id: Series[str] = pa.Field(nullable=True)
    """The example, the same in every cell; missing where the whole cell failed."""
    status: Series[str] = pa.Field(isin=["ok", "error"])
    error: Series[str] = pa.Field(nullable=True)
    label: Series[pd.Int64Dtype] = pa.Field(nullable=True)
    """True class; accuracy only."""
    correct: Series[pd.BooleanDtype] = pa.Field(nullable=True)
    nats: Series[float] = pa.Field(nullable=True)
    """Summed -log p of the example's tokens."""
    tokens: Series[pd.Int64Dtype] = pa.Field(nullable=True, ge=1)


_TOLD = {
    *(PoissonSampling.label, TruncatedPoissonSampling.label, BallsInBinsSampling.label),
    *(CyclicPoissonSampling.label, ShuffledSampling.label, ShuffledOnceSampling.label),
}
"""Samplings that the columns tell whole; of banded noise a composition is a round, or an epoch, whatever the bands."""
_COLUMNS = list(FrontierRow.to_schema().columns)


def cell_rows(cell: Cell, manifest: TrainingManifest, probed: pd.DataFrame) -> pd.DataFrame:
    """Rows of a trained cell from its manifest and the rows of its probe. Raises AuditError where none is usable."""
    quality = Quality.of(cell.spec.task)
    scores = scores_of(probed, quality)
    claim = manifest.privacy
    about = {
        **_about(cell),
        "records": manifest.trained_n,
        "epsilon": claim.epsilon if claim else math.inf,
        "delta": claim.delta if claim else None,
        "accountant": claim.accountant if claim else None,
        "unit": claim.unit if claim else None,
        "noise_multiplier": claim.noise_multiplier if claim else None,
        **_released(claim),
        "note": claim.note if claim else None,
        "seconds": manifest.seconds,
        "weights": manifest.weights,
    }
    return checked(scores.assign(**about))


def failed_row(cell: Cell, reason: str) -> pd.DataFrame:
    """The row of a cell that could not be trained or scored."""
    return checked(pd.DataFrame([{**_about(cell), "status": "error", "error": reason}]))


def checked(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with every column of the schema, in its order. Raises pandera's SchemaError."""
    return pd.DataFrame(FrontierRow.validate(frame.reindex(columns=_COLUMNS)))


def write_frontier(folder: Path, rows: pd.DataFrame) -> Path:
    """Replace the rows in `folder` atomically."""
    path = folder / FILE_NAME
    write_atomic(path, lambda scratch: rows.to_parquet(scratch, index=False))
    return path


def read_frontier(path: Path) -> pd.DataFrame:
    """Rows from a frontier's folder or its file. Raises UsageError naming a file that holds none."""
    file = path / FILE_NAME if path.is_dir() else path
    try:
        return checked(pd.read_parquet(file))
    except (OSError, ValueError, pa.errors.SchemaError, pa.errors.SchemaErrors) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{file}: not the rows of a frontier ({reason}); make them with `assay frontier`") from error


def _released(claim: PrivacyClaim | None) -> dict[str, Any]:
    """What the training released; left out where rows cannot hold it: trainings of its base."""
    if claim is None or claim.earlier or claim.sampling not in _TOLD:
        return {}
    in_bins = claim.sampling == BallsInBinsSampling.label
    return {
        "sample_rate": claim.sample_rate,
        "compositions": claim.compositions,
        "group": claim.group,
        "max_batch": claim.max_batch,
        "bins": round(1 / claim.sample_rate) if in_bins else None,
    }


def _about(cell: Cell) -> dict[str, Any]:
    assert cell.spec.held_out is not None  # make_grid has checked it
    return {
        "quality": Quality.of(cell.spec.task).value,
        "data": cell.spec.held_out.source,
        "checkpoint": cell.name,
        "target_epsilon": cell.epsilon,
        "mode": cell.spec.mode,
        "seed": cell.seed,
    }


def scores_of(probed: pd.DataFrame, quality: Quality) -> pd.DataFrame:
    """What is kept of the probe's rows: case, status, and label and correct, or nats and tokens.

    Raises AuditError where none is usable.
    """
    kept = _scores(probed, quality)
    if not (kept["status"] == "ok").any():
        raise AuditError(f"no held-out example could be scored ({kept['error'].iloc[0]})")
    return kept


def _scores(probed: pd.DataFrame, quality: Quality) -> pd.DataFrame:
    kept = probed[["case_id", "status", "error"]].copy()
    if quality is Quality.ACCURACY:
        kept["label"] = probed["label"]
        kept["correct"] = probed["predicted"] == probed["label"]
        return kept
    kept["nats"], kept["tokens"] = probed["nll"], probed["tokens"]
    broken = (kept["status"] == "ok") & ~np.isfinite(kept["nats"].astype(float))
    kept.loc[broken, ["status", "error"]] = ["error", "the loss is no number"]
    return kept
