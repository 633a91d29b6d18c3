"""Clipped sums from ordinary backward passes of one sample each: slow, and right wherever samples are not mixed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from privacy.clipping.engine import ClippingEngine, ClippingStats
from privacy.clipping.errors import ClippingError
from privacy.clipping.sums import get_sum, set_sum, sum_type


class OneSampleEngine(ClippingEngine):
    """For models that book-keeping refuses. Takes micro-batches of one sample.

    With more, a gradient that is not finite would reach the others through the shared graph (0 * nan).
    """

    @contextmanager
    def _forward(self, samples: int) -> Iterator[None]:
        if samples > 1:
            raise ClippingError(f"the one-sample engine got a micro-batch of {samples}; make micro-batches of 1")
        yield

    def _add(self, losses: Tensor) -> ClippingStats:
        values = list(self.trained.values())
        found = torch.autograd.grad(losses.sum(), values, allow_unused=True)
        squares = self._new_squares(losses)
        for name, gradient in zip(self.trained, found, strict=True):
            if gradient is not None:
                squares[self._layer[name]] += gradient.to(squares.dtype).square().sum()
        weights, stats = self._weigh(losses, squares)
        for (name, value), gradient in zip(self.trained.items(), found, strict=True):
            if gradient is not None and not stats.non_finite:
                part = gradient.to(sum_type(value)) * weights[self._layer[name]].to(sum_type(value))
                summed = get_sum(value)
                set_sum(value, part if summed is None else summed.add_(part))
        return stats
