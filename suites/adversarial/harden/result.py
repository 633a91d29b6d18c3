"""What a hardening found, as it is written to hardening.json."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from harness.base.frozen import Frozen
from harness.provenance.manifest import HardeningRecord

if TYPE_CHECKING:
    pass

RESULT, MARKDOWN = "hardening.json", "hardening.md"


class Checkpoint(Frozen):
    """One of the compared checkpoints; paths are relative to the folder of the hardening."""

    name: str = Field(description="before, control or after")
    path: Path
    weights: str = Field(description="sha256 digest of its weights")
    steps: int = Field(description="optimizer steps of all its training")
    seconds: float | None = Field(description="seconds of all its training, not of attacks; None: not recorded")
    audit: Path


class Change(Frozen):
    """A metric of two checkpoints over the cases that both audits have; after - before."""

    metric: str = Field(description="suite/probe/metric")
    n: int = Field(ge=0, description="paired cases with a usable row in both")
    unusable: int = Field(default=0, ge=0, description="cases without a usable row in one of the two")
    before: float | None = None
    after: float | None = None
    difference: float | None = None
    low: float | None = Field(default=None, description="lower end of the interval of the difference")
    high: float | None = Field(default=None, description="upper end of the interval of the difference")
    level: float = Field(default=0.95, gt=0, lt=1)
    method: str = Field(default="", description="how the interval was computed")
    p: float | None = Field(
        default=None, ge=0, le=1, description="McNemar's exact two-sided p; None: rows have more than two outcomes"
    )
    became_right: int | None = Field(default=None, description="cases wrong before and right after")
    became_wrong: int | None = Field(default=None, description="cases right before and wrong after")
    right_ids: tuple[str, ...] = Field(default=(), description="ids of the first of those that became right")
    wrong_ids: tuple[str, ...] = Field(default=(), description="ids of the first of those that became wrong")
    note: str = ""


class Comparison(Frozen):
    """The hardened checkpoint against another one."""

    of: str = "after"
    against: str = Field(description="before, or control")
    changes: tuple[Change, ...]


class HardeningReport(Frozen):
    """The content of hardening.json."""

    hardening: HardeningRecord
    checkpoints: tuple[Checkpoint, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = Field(default=(), description="what a reader must know")
    versions: dict[str, str]
