"""What a hardening found, as it is written to hardening.json."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from harness.base.frozen import Frozen
from harness.campaign.changes import Change
from harness.provenance.manifest import HardeningRecord

RESULT, MARKDOWN = "hardening.json", "hardening.md"


class Checkpoint(Frozen):
    """One of the compared checkpoints; paths are relative to the folder of the hardening."""

    name: str = Field(description="before, control or after")
    path: Path
    weights: str = Field(description="sha256 digest of its weights")
    steps: int = Field(description="optimizer steps of all its training")
    seconds: float | None = Field(description="seconds of all its training, not of attacks; None: not recorded")
    audit: Path


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
