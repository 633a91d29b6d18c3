"""Work that any process can take: cases of one probe on named models, nothing that lives in one process only.

Jobs travel pickled, and so do their rows. Reading a pickle runs what is in it: only between processes of one owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.api.case import Case
from harness.api.checkpoint import CheckpointSource
from harness.api.prepared import Kept, Unkept
from harness.api.probe import RowDict
from harness.api.scorer import Counts

SUBJECT = "subject"
"""The role of the checkpoint that is audited."""


@dataclass(frozen=True, slots=True)
class JobModel:
    """A checkpoint as whoever runs a job finds and loads it. What it may do there is for that process to say."""

    source: CheckpointSource
    fingerprint: str
    """The digest that it must have."""
    device: str = "auto"
    dtype: str = "auto"


@dataclass(frozen=True, slots=True)
class Job:
    """Cases of a probe, planned already; whoever runs it needs the probe's package and the models, no data."""

    probe: str
    version: str
    params: Mapping[str, Any]
    """JSON-able."""
    models: Mapping[str, JobModel]
    """By role."""
    cases: tuple[Case, ...]
    kept: Kept = field(default_factory=Unkept)
    """What the probe prepared: a folder that must lie where the job runs, else it is worked out again there."""


@dataclass(frozen=True, slots=True)
class Done:
    """Rows of a job, and the model work they took."""

    rows: list[RowDict]
    counts: Mapping[str, Counts]
    """By role of the model."""


def add_counts(some: Mapping[str, Counts], more: Mapping[str, Counts]) -> dict[str, Counts]:
    """The work of both, by role."""
    return {role: some.get(role, Counts()) + more.get(role, Counts()) for role in dict.fromkeys((*some, *more))}
