"""Clipped sums from one forward and one backward pass: book-keeping (Bu et al. 2022, arXiv 2210.00038).

The backward pass computes no parameter gradients, only those of activations. Per layer they give norms on the way, and
afterwards, weighted by clipping, the clipped sum in one product: the one the ordinary backward pass would have done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from privacy.clipping.check import check_gradients
from privacy.clipping.engine import ClippingEngine, ClippingStats
from privacy.clipping.parameter import find_lost
from privacy.clipping.recorder import Recorder
from privacy.clipping.refuse import refuse_checkpointing, refuse_unknown
from privacy.clipping.rules import Clipping, ClippingRule
from privacy.clipping.sums import get_sum, set_sum


class BookKeepingEngine(ClippingEngine):
    """The engine that is nearly free. The first micro-batch also checks it against autograd, and so takes longer."""

    def __init__(self, model: nn.Module, *, max_grad_norm: float, clipping: Clipping | ClippingRule = "flat") -> None:
        """See ClippingEngine; raises ClippingError also for a module whose per-sample gradients are unknown."""
        super().__init__(model, max_grad_norm=max_grad_norm, clipping=clipping)
        refuse_unknown(model)
        self._recorder = Recorder(model)
        self._checked_with = 0
        """Samples of the largest micro-batch checked: 1 cannot show whether samples are told apart, 2 can."""

    def _to_check(self, samples: int) -> bool:
        return self._checked_with < min(samples, 2)

    @contextmanager
    def _forward(self, samples: int) -> Iterator[None]:
        refuse_checkpointing(self.model)
        if not samples:
            yield
            return
        with self._recorder.recording(samples, keep_parameters=self._to_check(samples)):
            yield

    def _add(self, losses: Tensor) -> ClippingStats:
        usable = torch.where(losses.isfinite(), losses, 0)
        try:
            if self._to_check(len(losses)):
                if check_gradients(self._recorder, usable):
                    self._checked_with = len(losses)
            else:
                torch.autograd.backward(usable.sum())
            self._recorder.finish()
            with torch.no_grad():
                return self._clip(losses)
        finally:
            self._recorder.clear()

    def _clip(self, losses: Tensor) -> ClippingStats:
        squares = self._new_squares(losses)
        find_lost(self._recorder.gradients.values())
        for name, value in self.trained.items():
            found = self._recorder.gradients[id(value)].squared_norms()
            if found is not None:
                squares[self._layer[name]] += found
        weights, stats = self._weigh(losses, squares)
        usable = (weights != 0).all(dim=0).nonzero().flatten() if stats.non_finite else None
        for name, value in self.trained.items():
            gradient = self._recorder.gradients[id(value)]
            mine = weights[self._layer[name]]
            summed = gradient.add_weighted(get_sum(value), mine if usable is None else mine[usable], usable)
            if summed is not None:
                set_sum(value, summed)
            gradient.clear()
        return stats
