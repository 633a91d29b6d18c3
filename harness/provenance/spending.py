"""What trainings have spent on the same records, as `assay budget --save` leaves it in their folder for a page."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter

from harness.base.frozen import FrozenMaybeInfinite
from harness.base.reading import read_record

SPENDING_NAME = "assay_spent.json"


class Spent(FrozenMaybeInfinite):
    """A bound after some steps, or after some trainings; inf: there is none."""

    after: int = Field(ge=0, description="noisy steps, or trainings, counted from the first")
    epsilon: float = Field(ge=0)


class TrainingSpent(FrozenMaybeInfinite):
    """One training."""

    name: str = Field(description="where it lies, below the folder")
    state: str = Field(default="", description="'unfinished', 'running', 'moved aside'; '' for a finished one")
    created: str = Field(default="", description="when its ledger began, UTC, ISO 8601; '' without one")
    steps: int = Field(ge=0, description="noisy steps that count as spent")
    planned: int | None = Field(default=None, description="noisy steps planned; None without a ledger")
    records: int | None = Field(default=None, description="how many it read; None: not known")
    epsilon: float = Field(ge=0, description="of this training alone; inf: none")
    why: str = Field(default="", description="why it has no bound; '' where it has one")
    history: tuple[Spent, ...] = Field(default=(), description="its epsilon over its steps; none where it has no bound")


class SharedRecords(FrozenMaybeInfinite):
    """Trainings that share records, the oldest first; those without a ledger last."""

    unit: str = Field(description="what the bounds protect")
    delta: float
    accountant: str
    trainings: tuple[TrainingSpent, ...]
    together: tuple[Spent, ...] = Field(description="bound for the worst record after each training that it was in")
    worst: tuple[str, ...] = Field(default=(), description="names of those trainings, the oldest first")
    why: str = Field(default="", description="why there is no bound over all; '' where there is one")
    unknown: tuple[str, ...] = Field(default=(), description="trainings that may have read the same records as well")


class Spending(FrozenMaybeInfinite):
    """The content of assay_spent.json."""

    version: Literal[1] = 1
    written: str = Field(description="when, UTC, ISO 8601")
    groups: tuple[SharedRecords, ...]
    total: float | None = Field(default=None, description="epsilon that all trainings on the same records keep to")
    total_delta: float | None = None


_SPENDING = TypeAdapter(Spending)


def read_spending(path: Path) -> Spending:
    """That of a file. Raises AuditError for a damaged one."""
    return read_record(path, _SPENDING)
