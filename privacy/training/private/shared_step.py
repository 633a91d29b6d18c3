"""The noisy step of several processes: each brings its clipped sums, the first one noise, all take the same step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from privacy.clipping.optimizer import ClippedSumOptimizer
from privacy.training.private.ranks import Ranks


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

    def own(self) -> dict[str, torch.Tensor]:
        """What this process steps, by name: here all trained weights, in memory that the model shares."""
        return {name: value.detach() for name, value in self._engine.trained.items()}

    def part(self, name: str, whole: torch.Tensor) -> torch.Tensor:
        """Of a tensor as large as the weight `name` what belongs to the numbers of `own`."""
        return whole

    def whole(self, parts: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Tensors as large as those of `own` -> as large as the weights; for the first process, called in all."""
        return dict(parts)

    def groups(self) -> list[list[str]]:
        """Names of the weights in each group of the wrapped optimizer, whole or of pieces."""
        names = {id(value): name for name, value in self._engine.trained.items()}
        return [[names[id(value)] for value in group["params"]] for group in self.original_optimizer.param_groups]

    def whole_state(self) -> dict[str, Any]:
        """State of the wrapped optimizer, as if it held all weights; for the first process, called in all."""
        state: dict[str, Any] = self.original_optimizer.state_dict()
        return state

    def load_whole_state(self, state: dict[str, Any]) -> None:
        """Take up what `whole_state` gave, in any number of processes."""
        self.original_optimizer.load_state_dict(state)

    def share_weights(self) -> None:
        """Give all processes what each has made of `own`; here all have done the same."""

    def _release_sums(self, sums: list[torch.Tensor], count: float) -> float:
        if not self._noise.last:
            if self._ranks.first:
                self._add_noise_to(sums)
                count = self._noised(count)
            return self._add_up(sums, count)
        count = self._add_up(sums, count)
        if self._ranks.first:
            self._add_noise_to(sums)
        return self._noised_once([*sums], count)

    def _noised_once(self, sums: list[torch.Tensor], count: float) -> float:
        """The first process' count with noise, and its sums, in all processes."""
        number = torch.tensor([self._noised(count) if self._ranks.first else 0.0], dtype=torch.float64)
        number = number.to(next(iter(self._engine.trained.values())).device)
        self._ranks.hand_out([*sums, number])
        return float(number)

    def _add_up(self, sums: list[torch.Tensor], count: float) -> float:
        """Sums, count and totals over all processes; the count is returned."""
        device = next(iter(self._engine.trained.values())).device
        numbers = torch.cat([torch.tensor([count], dtype=torch.float64), self.totals]).to(device)
        self._ranks.add_up([*sums, numbers])
        self.totals = numbers[1:].cpu()
        return float(numbers[0])
