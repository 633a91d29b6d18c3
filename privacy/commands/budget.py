"""What `assay budget` does: reads a folder, states a total where one is given, and tells what was spent."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.provenance.manifest import MANIFEST_NAME
from privacy.budget.exposure import exposures, exposures_of
from privacy.budget.find import find_trainings
from privacy.budget.report import report
from privacy.budget.spent import write_spent
from privacy.budget.total import budget_file, set_total
from privacy.training.data.load import load_training_data
from privacy.training.data.units import privacy_unit
from privacy.training.private.lineage import records_of
from privacy.training.settings.options import load_train_spec


def budget_text(
    folder: Path,
    *,
    spec: Path | None = None,
    delta: float | None = None,
    total: float | None = None,
    save: bool = False,
) -> str:
    """The report of `folder`. Raises UsageError for a folder, a delta or a total that is none.

    `save`: leave the history there as well, for the dashboard.
    """
    if (folder / MANIFEST_NAME).is_file():
        raise UsageError(f"{folder}: is a checkpoint itself; name the folder that it lies in")
    if not folder.is_dir() and total is None:
        raise UsageError(f"{folder}: no folder; name the folder that your checkpoints lie in")
    if delta is not None and not 0 < delta < 1:
        raise UsageError(f"--delta {delta:g}: must be above 0 and below 1")
    if total is not None:
        if delta is None:
            raise UsageError("--total: a total needs its delta; add --delta, below 1 over the number of records")
        set_total(folder, total, delta)
    stated = budget_file(folder)
    at = delta or (stated.delta if stated else None)
    found = find_trainings(folder)
    if spec is None:
        shared = exposures(found, at)
    else:
        settings = load_train_spec(spec)
        data = load_training_data(settings)
        unit = privacy_unit(settings.privacy, data).name if settings.privacy else "each record"
        shared = [exposures_of(found, records_of(data), unit, at)]
    text = report(found, shared, stated)
    if not save:
        return text
    return f"{text}\n\n{write_spent(found, shared, stated, 'prv')}: written"
