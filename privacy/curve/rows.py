"""The rows of a curve: one per size, seed and held-out example; an error row for a cell that failed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from harness.base.files import write_atomic
from harness.errors import UsageError
from harness.provenance.manifest import TrainingManifest
from privacy.curve.cells import Cell, Curve
from privacy.frontier.rows import Quality, scores_of

FILE_NAME = "curve.parquet"


class CurveRow(pa.DataFrameModel):
    """Settings of a cell, the same in all of its rows, and what its model did on one held-out example."""

    class Config:
        """Columns are cast, and no others are let in."""

        coerce = True
        strict = True

    quality: Series[str] = pa.Field(isin=[*Quality])
    data: Series[str]
    """Source of the held-out records."""
    records: Series[int] = pa.Field(ge=1)
    """Training records that there are."""
    checkpoint: Series[str]
    """Name of the cell's folder."""
    size: Series[int] = pa.Field(ge=1)
    """Records trained on."""
    seed: Series[int] = pa.Field(ge=0)
    """Of the draw of the records and of the training."""
    epochs: Series[int] = pa.Field(ge=1)
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


_COLUMNS = list(CurveRow.to_schema().columns)


def cell_rows(curve: Curve, cell: Cell, manifest: TrainingManifest, probed: pd.DataFrame) -> pd.DataFrame:
    """Rows of a trained cell from its manifest and the rows of its probe. Raises AuditError where none is usable."""
    scores = scores_of(probed, Quality.of(cell.spec.task))
    return _about(curve, cell, scores.assign(seconds=manifest.seconds, weights=manifest.weights))


def failed_row(curve: Curve, cell: Cell, reason: str) -> pd.DataFrame:
    """The row of a cell that could not be trained or scored."""
    return _about(curve, cell, pd.DataFrame([{"status": "error", "error": reason}]))


def checked(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with every column of the schema, in its order. Raises pandera's SchemaError."""
    return pd.DataFrame(CurveRow.validate(frame.reindex(columns=_COLUMNS)))


def write_curve(folder: Path, rows: pd.DataFrame) -> Path:
    """Replace the rows in `folder` atomically."""
    path = folder / FILE_NAME
    write_atomic(path, lambda scratch: rows.to_parquet(scratch, index=False))
    return path


def read_curve(path: Path) -> pd.DataFrame:
    """Rows from a curve's folder or its file. Raises UsageError naming a file that holds none."""
    file = path / FILE_NAME if path.is_dir() else path
    try:
        return checked(pd.read_parquet(file))
    except (OSError, ValueError, pa.errors.SchemaError, pa.errors.SchemaErrors) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{file}: not the rows of a curve ({reason}); make them with `assay curve`") from error


def _about(curve: Curve, cell: Cell, rows: pd.DataFrame) -> pd.DataFrame:
    assert cell.spec.held_out is not None  # make_curve has checked it
    return checked(
        rows.assign(
            quality=Quality.of(cell.spec.task).value,
            data=cell.spec.held_out.source,
            records=len(curve.data.members),
            checkpoint=cell.name,
            size=cell.size,
            seed=cell.seed,
            epochs=cell.spec.epochs,
        )
    )
