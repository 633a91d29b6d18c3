"""What the guarantee protects: each record, or all records of one person."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from harness.errors import DataError
from privacy.training.data import TrainingData
from privacy.training.privacy_spec import PrivacySpec

EACH_RECORD = "each record"
"""Name of the unit where no column names whose records they are."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The privacy unit of a data set."""

    name: str
    count: int
    """Units in the data."""
    group: int
    """Most records that one unit has."""
    note: str | None = None


def privacy_unit(spec: PrivacySpec, data: TrainingData) -> Unit:
    """The unit of `data`. Raises DataError when a unit has more records than `max_per_unit`."""
    if data.units is None:
        return Unit(EACH_RECORD, len(data.members), 1)
    records = Counter(data.units)
    most = max(records.values())
    if spec.max_per_unit is not None and most > spec.max_per_unit:
        over = sum(count > spec.max_per_unit for count in records.values())
        raise DataError(
            f"{data.members.source.source}: {over} of {len(records)} values of {spec.unit!r} have more than "
            f"max_per_unit={spec.max_per_unit} records (the most is {most}); drop their surplus records or raise it"
        )
    note = None if spec.max_per_unit else f"the most records of one {spec.unit} ({most}) was read from the data"
    return Unit(f"all records of one {spec.unit}", len(records), spec.max_per_unit or most, note)
