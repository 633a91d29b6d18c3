"""The noisy step of several processes: each brings its clipped sums, the first one noise, all take the same step."""

from __future__ import annotations

from typing import Any

import torch

from privacy.clipping.optimizer import ClippedSumOptimizer
from privacy.training.ranks import Ranks


class SharedOptimizer(ClippedSumOptimizer):
    """ClippedSumOptimizer over the records of all processes, in one collective per logical step.

    The first process draws the noise, once; its ledger has the step by then, and the others wait for its sums. Noise
    that must come last takes a second collective, which hands out what the first process released.
    """

    def __init__(self, *args: Any, ranks: Ranks, **kwargs: Any) -> None:
        """As ClippedSumOptimizer."""
        super().__init__(*args, **kwargs)
        self._ranks = ranks
        self.totals = torch.zeros(0, dtype=torch.float64)
        """Numbers to be added up over all processes in the same collective; set before each step."""

    def _release(self, sums: list[torch.Tensor], count: float) -> float:
        if not self._noise.last:
            return self._add_up(sums, self._add_noise_to(sums, count) if self._ranks.first else count)
        count = self._add_up(sums, count)
        count = self._add_noise_to(sums, count) if self._ranks.first else 0.0
        number = torch.tensor([count], dtype=torch.float64, device=sums[0].device)
        self._ranks.hand_out([*sums, number])
        return float(number)

    def _add_up(self, sums: list[torch.Tensor], count: float) -> float:
        numbers = torch.cat([torch.tensor([count], dtype=torch.float64), self.totals]).to(sums[0].device)
        self._ranks.add_up([*sums, numbers])
        self.totals = numbers[1:].cpu()
        return float(numbers[0])
