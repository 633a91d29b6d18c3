"""A third party's probe, of which no view knows; it is never run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pandera.typing import Series

from harness.api.case import Case
from harness.api.columns import column
from harness.api.declared import By, MeanOf
from harness.api.metrics import Better
from harness.api.needs import Need, any_of
from harness.api.probe import About, Plan, Probe, ProbeParams, ProbeRow, RowDict
from harness.api.scorer import Scorer

ROWS: dict[str, list[Any]] = {
    "gap": [0.1, 0.2, 0.3, 0.4],
    "axis": ["a", "a", "b", "b"],
    "template": ["my secret", "your secret", "my secret", "x"],
}


class GapRow(ProbeRow):
    """One row per template and axis."""

    gap: Series[float] = column("how far apart", "nats")
    axis: Series[str] = column("which axis")
    template: Series[str] = column("of what")


class Gap(Probe[ProbeParams]):
    """Mean gap, by axis."""

    name = "third/gap"
    about = About("gaps", "none", "much")
    needs = (any_of(Need.CAUSAL_LM),)
    metrics = (MeanOf("gap", Better.LOWER, "gap", unit="nats", clusters="template", slices=By(("axis",))),)
    Row = GapRow

    def cases(self, plan: Plan) -> list[Case]:
        return []

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterable[RowDict]:
        return ()
