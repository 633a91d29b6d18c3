"""Clipped sums by one backward pass per sample: slow, and right for any model that does not mix samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from privacy.clipping.engine import ClippingEngine, ClippingStats, usable_losses
from privacy.clipping.sums import get_sum, set_sum, sum_type


class OneSampleEngine(ClippingEngine):
    """For models that book-keeping refuses. Each sample costs a backward pass of the whole micro-batch: make it 1."""

    @contextmanager
    def _forward(self, samples: int) -> Iterator[None]:
        yield

    def _add(self, losses: Tensor) -> ClippingStats:
        squares = self._new_squares(losses)
        found: list[list[Tensor | None]] = []
        usable = usable_losses(losses)
        for place in range(len(losses)):
            found.append(self._gradients(usable[place], last=place + 1 == len(losses)))
            for name, gradient in zip(self.trained, found[-1], strict=True):
                if gradient is not None:
                    squares[self._layer[name], place] += gradient.square().sum()
        weights, stats = self._weigh(losses, squares)
        for place, gradients in enumerate(found):
            if bool((weights[:, place] != 0).all()):
                self._add_one(gradients, weights[:, place])
        return stats

    def _gradients(self, loss: Tensor, *, last: bool) -> list[Tensor | None]:
        values = list(self.trained.values())
        found = torch.autograd.grad(loss, values, retain_graph=not last, allow_unused=True)
        return [None if one is None else one.to(sum_type(value)) for one, value in zip(found, values, strict=True)]

    def _add_one(self, gradients: list[Tensor | None], weights: Tensor) -> None:
        for (name, value), gradient in zip(self.trained.items(), gradients, strict=True):
            if gradient is not None:
                part = gradient * weights[self._layer[name]].to(gradient.dtype)
                summed = get_sum(value)
                set_sum(value, part if summed is None else summed.add_(part))
