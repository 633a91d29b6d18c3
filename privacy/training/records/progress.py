"""What happened in the steps of a run. Of a private one nothing of it is protected by noise."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch

from harness.provenance.manifest import Unprivatised

if TYPE_CHECKING:
    from privacy.clipping import ClippingStats  # ordinary training does without it

_QUANTILES = (0.1, 0.5, 0.9)
_SUMS = ("drawn", "finite", "loss", "clipped", "non_finite")


@dataclass(slots=True)
class StepTotals:
    """Sums over the records drawn in one logical step; made when it begins."""

    step: int
    learning_rate: float
    clipping_norm: float | None
    """Bound in force; None: nothing is clipped."""
    drawn: float = 0
    finite: float = 0
    """Records whose loss is a number; `loss` is summed over them."""
    loss: float = 0.0
    clipped: float = 0.0
    """Records whose gradient was made smaller; nan where single records are not clipped."""
    non_finite: float = 0
    """Records that contributed zero."""
    norms: list[torch.Tensor] = field(default_factory=list)
    """Gradient norms before clipping, of this process' records only, [records] each; on the device until settled."""
    waiting: torch.Tensor | None = None
    """Finite records, their losses and how many were clipped, summed where the model is."""
    started: float = field(default_factory=time.perf_counter)

    def add(self, losses: torch.Tensor, stats: ClippingStats) -> None:
        """Count one micro-batch: losses [records]. Nothing is read off the device before `settle`."""
        values = losses.detach().double()
        finite = values.isfinite()
        self.drawn += len(values)
        self.non_finite += stats.non_finite
        sums = torch.stack([finite.sum().double(), torch.where(finite, values, 0).sum(), stats.smaller.double()])
        self.waiting = sums if self.waiting is None else self.waiting + sums
        self.norms.append(stats.norms.detach().float())

    def settle(self) -> None:
        """Read off the device what micro-batches have left there: two copies a step, however many these are."""
        if self.waiting is None:
            return
        finite, loss, clipped = self.waiting.tolist()
        self.finite += finite
        self.loss += loss
        self.clipped += clipped
        self.norms = [torch.cat(self.norms).cpu()]
        self.waiting = None

    def to_tensor(self) -> torch.Tensor:
        """The sums, to be added up over processes."""
        self.settle()
        return torch.tensor([getattr(self, name) for name in _SUMS], dtype=torch.float64)

    def from_tensor(self, sums: torch.Tensor) -> None:
        """The sums over all processes."""
        for name, value in zip(_SUMS, sums.tolist(), strict=True):
            setattr(self, name, value)


@dataclass(slots=True)
class RunProgress:
    """All steps whose result the model holds."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    """Fields of StepTotals, with `norms` the number of norms, and `seconds` instead of `started`."""
    norms: list[torch.Tensor] = field(default_factory=list)

    def add(self, totals: StepTotals) -> None:
        """One more step."""
        totals.settle()
        norms, totals.norms = totals.norms, []
        self.norms += norms
        row = asdict(totals)
        del row["waiting"]
        row["norms"] = sum(len(part) for part in norms)
        row["seconds"] = time.perf_counter() - row.pop("started")
        self.steps.append(row)

    def recent_loss(self, steps: int) -> float:
        """Mean record loss of the last `steps`; nan where no record was drawn."""
        mean = _mean_loss(self.steps[-steps:])
        return float("nan") if mean is None else mean

    def summary(self, planned: int, epochs: int) -> Unprivatised:
        """Facts for the manifest; `planned` steps make `epochs` epochs."""
        drawn = round(self._total("drawn"))
        used = drawn - round(self._total("non_finite"))
        borders = [planned * epoch // epochs for epoch in range(epochs + 1)]
        return Unprivatised(
            losses=tuple(
                _mean_loss([row for row in self.steps if start <= row["step"] < stop])
                for start, stop in pairwise(borders)
            ),
            clipped=min(1.0, self._total("clipped") / used) if used else None,
            norm_quantiles=self._quantiles(),
            non_finite=drawn - used,
            drawn=drawn,
        )

    def _total(self, name: str) -> float:
        return float(sum(row[name] for row in self.steps))

    def _quantiles(self) -> dict[str, float]:
        norms = torch.cat(self.norms) if self.norms else torch.zeros(0)
        norms = norms[norms.isfinite()].sort().values
        if not len(norms):
            return {}
        return {str(share): float(norms[round(share * (len(norms) - 1))]) for share in _QUANTILES}


def _mean_loss(rows: list[dict[str, Any]]) -> float | None:
    finite = sum(row["finite"] for row in rows)
    return float(sum(row["loss"] for row in rows) / finite) if finite else None
