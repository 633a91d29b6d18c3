"""What the guarantee protects: each record, or all records of one person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import DataError
from privacy.sampling import Sampling
from privacy.training.data.load import TrainingData
from privacy.training.settings.privacy_spec import PrivacySpec

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
    column = " ".join(str(spec.unit).split())  # it becomes part of a sentence
    notes = [] if spec.max_per_unit else [f"the most records of one {column} ({most}) was read from the data"]
    merged = len(set(data.units_as_written or ())) - len(records)
    if merged > 0:
        notes.append(
            f"{merged} of the {column} ids differ from another one only in case, spaces or how a number is written, "
            "and count as the same"
        )
    return Unit(f"all records of one {column}", len(records), spec.max_per_unit or most, "; ".join(notes) or None)


def neighbours_of(sampling: Sampling, unit: str, earlier: Iterable[Sampling] = ()) -> str:
    """How data sets differ that the guarantee compares, in units: a sampling speaks of records.

    A claim that counts `earlier` trainings names theirs too: amplified steps are no reason to say of a base whose order
    was fixed that a record may be added to it.
    """
    others = {each.neighbours for each in earlier} - {sampling.neighbours}
    said = "; in an earlier training ".join([sampling.neighbours, *sorted(others)])
    return said if unit == EACH_RECORD else said.replace("one record", unit)
