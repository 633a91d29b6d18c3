"""The mean of the weights over steps: noise of single steps averages out, and it is free, as they are released already.

Over the last quarter of the steps, or with weights that fall off over a tenth of the run (De et al. 2022, section 3.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch

_LAST = 0.25
_HORIZON = 0.1
_PREFIX = "average."

Whole = Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]]
Part = Callable[[str, torch.Tensor], torch.Tensor]


def _all_of(name: str, whole: torch.Tensor) -> torch.Tensor:
    return whole


class WeightAverage:
    """Mean of the trained weights; nothing until it has seen a step that counts."""

    def __init__(self, kind: Literal["none", "last", "ema"], steps: int) -> None:
        self._kind = kind
        self._first = 0 if kind == "ema" else steps - max(1, round(_LAST * steps))
        self._decay = 1 - 1 / max(1.0, _HORIZON * steps)
        self._mean: dict[str, torch.Tensor] = {}
        self.seen = 0

    @torch.no_grad()
    def add(self, step: int, trained: Mapping[str, torch.Tensor]) -> None:
        """Count the weights after `step`, from 0."""
        if self._kind == "none" or step < self._first:
            return
        self.seen += 1
        # of the first steps ema is the plain mean: else it would hold on to where training began
        share = 1 / self.seen if self._kind == "last" else max(1 / self.seen, 1 - self._decay)
        for name, value in trained.items():
            if name not in self._mean:
                self._mean[name] = value.detach().clone()
            else:
                self._mean[name].lerp_(value.detach(), share)

    @torch.no_grad()
    def put(self, trained: Mapping[str, torch.Tensor]) -> None:
        """Write the mean into the weights; nothing where no step counted."""
        for name, value in self._mean.items():
            trained[name].copy_(value)

    def tensors(self, whole: Whole = dict) -> dict[str, torch.Tensor]:
        """What a saved state keeps of it, besides `seen`; `whole` makes whole weights of the parts that are held."""
        return {f"{_PREFIX}{name}": value for name, value in whole(self._mean).items()} if self.seen else {}

    @staticmethod
    def taken(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What `tensors` gave, by name of the weight; it leaves the state's `tensors`."""
        kept = [name for name in tensors if name.startswith(_PREFIX)]
        return {name.removeprefix(_PREFIX): tensors.pop(name) for name in kept}

    def restore(
        self, mean: Mapping[str, torch.Tensor], seen: int, trained: Mapping[str, torch.Tensor], part: Part = _all_of
    ) -> None:
        """Take up a `mean` of whole weights; `part` makes of a whole weight what is held of it."""
        self.seen = seen
        for name, value in trained.items():
            if name in mean:
                self._mean[name] = part(name, mean[name]).to(value.device)
