"""One row per optimizer step, beside the checkpoint. Of a private run they are unprivatised: not to be published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import torch
from pandera.typing import Series

from harness.base.files import write_atomic
from harness.errors import AuditError
from privacy.training.records.progress import RunProgress

_WEIGHTS = "weights"
"""Key of the file's metadata: the digest of the weights that these steps made."""


class StepRow(pa.DataFrameModel):
    """A step whose result the checkpoint holds; steps that were lost in a crash have none."""

    step: Series[int] = pa.Field(ge=0, unique=True, description="counted from 0, as in the privacy ledger")
    learning_rate: Series[float] = pa.Field(ge=0)
    drawn: Series[int] = pa.Field(ge=0, description="records in the batch")
    finite: Series[int] = pa.Field(ge=0, description="those whose loss is a number")
    loss: Series[float] = pa.Field(nullable=True, description="their mean loss, nats; null: there is none")
    clipped: Series[float] = pa.Field(
        ge=0, le=1, nullable=True, description="share of the records with a finite gradient that was made smaller"
    )
    non_finite: Series[int] = pa.Field(ge=0, description="records that contributed zero")
    gradient_norm: Series[float] = pa.Field(
        ge=0, nullable=True, description="median of gradient_norms; null without any"
    )
    gradient_norms: Series[object] = pa.Field(
        description="finite norms of records' gradients before clipping, sorted; of the first process' records"
    )
    clipping_norm: Series[float] = pa.Field(
        gt=0, nullable=True, description="bound in force, on a record's gradient or (plain training) the batch's"
    )
    seconds: Series[float] = pa.Field(ge=0)

    class Config:
        """Unknown columns are refused; kinds are converted where that loses nothing."""

        strict = True
        coerce = True


def step_rows_path(output: Path) -> Path:
    """Where the rows of the checkpoint `output` lie: beside it, since a checkpoint's folder gets published."""
    return output.with_name(f"{output.name}.steps.parquet")


def write_step_rows(output: Path, progress: RunProgress, weights: str) -> None:
    """Replace the rows of `output` atomically; `weights` is the digest of the weights that they made."""
    frame = pd.DataFrame(StepRow.validate(step_frame(progress)))
    frame.attrs[_WEIGHTS] = weights
    write_atomic(step_rows_path(output), lambda scratch: frame.to_parquet(scratch, index=False), private=True)


def read_step_rows(output: Path, weights: str) -> pd.DataFrame | None:
    """The rows of the steps that made `weights`, or None where there are none. Raises AuditError: a damaged file."""
    path = step_rows_path(output)
    if not path.is_file():
        return None
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # a damaged file is pyarrow.ArrowInvalid, a ValueError
        raise AuditError(f"{path}: damaged rows ({str(error).splitlines()[0]}); delete the file") from error
    return frame if frame.attrs.get(_WEIGHTS) == weights else None


def step_frame(progress: RunProgress) -> pd.DataFrame:
    """Columns of StepRow, in the order the steps were taken."""
    rows = pd.DataFrame(progress.steps)
    norms = torch.cat(progress.norms) if progress.norms else torch.zeros(0)
    borders = rows["norms"].cumsum().tolist()[:-1]
    parts = [np.sort(part[np.isfinite(part)]) for part in np.split(norms.numpy(), borders)]
    used = rows["drawn"] - rows["non_finite"]
    rows["loss"] = (rows["loss"] / rows["finite"]).where(rows["finite"] > 0)
    rows["clipped"] = (rows["clipped"] / used).clip(upper=1.0).where(used > 0)
    rows["gradient_norm"] = [float(np.median(part)) if len(part) else None for part in parts]
    rows["gradient_norms"] = pd.Series(parts, dtype=object)
    return rows[list(StepRow.to_schema().columns)]
