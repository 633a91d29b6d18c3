"""What a campaign found, as it is written to campaign.json."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from harness.api.metrics import Better
from harness.base.frozen import Frozen
from harness.campaign.changes import Change

RESULT, MARKDOWN = "campaign.json", "campaign.md"


class CellRecord(Frozen):
    """One checkpoint or variant."""

    name: str
    checkpoint: str = Field(description="its source")
    fingerprint: str = Field(default="", description="sha256 over weights, config and tokenizer")
    audit: Path | None = Field(default=None, description="its audit, relative to the campaign; None: it has none")
    verdict: str = Field(default="", description="pass, block or inconclusive; empty: it has none")
    reason: str = Field(default="", description="of the verdict")
    failed: str = Field(default="", description="why its audit did not finish")


class Value(Frozen):
    """A metric of one cell, and its difference to the reference."""

    cell: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = Field(default=0, ge=0, description="rows that count")
    missing: int = Field(default=0, ge=0, description="cases without a usable row")
    note: str = ""
    change: Change | None = Field(
        default=None, description="this cell less the reference, over common cases; None: it is the reference itself"
    )


class MetricRecord(Frozen):
    """A headline metric over all cells that have it."""

    metric: str = Field(description="suite/probe/metric")
    unit: str
    better: Better
    values: tuple[Value, ...]


class CampaignReport(Frozen):
    """The content of campaign.json."""

    name: str
    reference: str
    cells: tuple[CellRecord, ...]
    metrics: tuple[MetricRecord, ...]
    versions: dict[str, str]

    @property
    def failed(self) -> tuple[CellRecord, ...]:
        """Cells without a finished audit."""
        return tuple(cell for cell in self.cells if cell.failed)
