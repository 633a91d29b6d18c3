"""The noisy step of several processes: each brings its clipped sums, the first one noise, all take the same step."""

from __future__ import annotations

from typing import Any

import torch

from privacy.clipping.optimizer import ClippedSumOptimizer
from privacy.training.ranks import Ranks


class SharedOptimizer(ClippedSumOptimizer):
    """ClippedSumOptimizer over the records of all processes, in one collective per logical step.

    The first process draws the noise, once; its ledger has the step by then, and the others wait for its sums.
    """

    def __init__(self, *args: Any, ranks: Ranks, **kwargs: Any) -> None:
        """As ClippedSumOptimizer."""
        super().__init__(*args, **kwargs)
        self._ranks = ranks
        self._draws_noise = ranks.first
        self.totals = torch.zeros(0, dtype=torch.float64)
        """Numbers to be added up over all processes in the same collective; set before each step."""

    def _share(self, sums: list[torch.Tensor], count: float) -> float:
        numbers = torch.cat([torch.tensor([count], dtype=torch.float64), self.totals]).to(sums[0].device)
        self._ranks.add_up([*sums, numbers])
        self.totals = numbers[1:].cpu()
        return float(numbers[0])
