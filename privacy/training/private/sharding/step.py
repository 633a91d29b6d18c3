"""The noisy step of several processes, each of which keeps sums, noise and optimizer state of its own weights only.

As ZeRO's second stage (Rajbhandari et al. 2020, arXiv 1910.02054), once a logical step: sums of all processes go to the
owner of each range of weights; it adds noise to them, once, from a source that no other process has; it steps; its
weights go to all. What a process sees of a sum before the noise is complete only when the first process has brought its
own, whose ledger has the step by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch

from harness.errors import AuditError
from privacy.clipping import ClippingError
from privacy.clipping.sums import USED, drop_sum, get_sum
from privacy.training.private.sharding.partition import partition
from privacy.training.private.sharding.state import PER_NUMBER, part_of_state, whole_state
from privacy.training.private.shared_step import SharedOptimizer

_ELEMENTWISE = (torch.optim.AdamW, torch.optim.SGD)
"""What these do to a number depends on no other number of the tensor, so that a piece of it steps as in the whole."""


@dataclass(frozen=True, slots=True)
class _Range:
    """Room for the numbers of one process laid end to end."""

    owner: int
    flat: torch.Tensor
    views: dict[str, torch.Tensor]
    """The pieces in `flat`."""


class StateShardedOptimizer(SharedOptimizer):
    """SharedOptimizer whose wrapped optimizer holds pieces: views of the weights that this process owns."""

    def __init__(self, optimizer: torch.optim.Optimizer, **kwargs: Any) -> None:
        """As SharedOptimizer; `optimizer` has no state yet, and holds pieces from now on.

        Raises:
            AuditError: it would step a piece otherwise than the whole tensor.
        """
        if type(optimizer) not in _ELEMENTWISE:
            raise AuditError(f"{type(optimizer).__name__} cannot be sharded: it may not step numbers one by one")
        super().__init__(optimizer, **kwargs)
        trained = self._engine.trained
        self._owned = partition({name: value.numel() for name, value in trained.items()}, self._ranks.world)
        self._mine = self._owned[self._ranks.rank]
        for value in trained.values():
            value.data = value.data.contiguous()  # a piece is a view
        self._pieces = {name: piece.of(trained[name].detach()).requires_grad_() for name, piece in self._mine.items()}
        self._groups = super().groups()
        for group, held in zip(optimizer.param_groups, self._groups, strict=True):
            group["params"] = [self._pieces[name] for name in held if name in self._pieces]

    def accumulate(self) -> None:
        """As ClippedSumOptimizer. Raises ClippingError where a step was taken with these sums, or weights moved."""
        for name, piece in self._pieces.items():
            if piece.grad is not None:
                raise ClippingError(USED)
            if piece.untyped_storage().data_ptr() != self._engine.trained[name].untyped_storage().data_ptr():
                raise ClippingError(f"{name} was moved since the optimizer was made, which would step what it was")
        super().accumulate()

    def zero_grad(self, set_to_none: bool = False) -> None:
        """As Opacus; gradients are always let go of."""
        super().zero_grad(set_to_none=True)
        if not self._is_last_step_skipped:
            for value in self._engine.trained.values():
                drop_sum(value)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Step the pieces of this process, and exchange weights."""
        loss: float | None = super().step(closure)
        if not self._is_last_step_skipped:
            self.share_weights()
        return loss

    def own(self) -> dict[str, torch.Tensor]:
        """See SharedOptimizer."""
        return {name: piece.detach() for name, piece in self._pieces.items()}

    def part(self, name: str, whole: torch.Tensor) -> torch.Tensor:
        """See SharedOptimizer; a copy."""
        return self._mine[name].of(whole).clone()

    def whole(self, parts: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """See SharedOptimizer; on the CPU."""
        found: dict[str, torch.Tensor] = {}
        for each in self._ranges():
            self._exchange(each, parts)
            for name, view in each.views.items() if self._ranks.first else ():
                if name not in found:
                    found[name] = torch.empty_like(self._engine.trained[name], device="cpu", requires_grad=False)
                self._owned[each.owner][name].of(found[name]).copy_(view)
        return found

    def groups(self) -> list[list[str]]:
        """See SharedOptimizer."""
        return self._groups

    def whole_state(self) -> dict[str, Any]:
        """See SharedOptimizer; on the CPU."""
        optimizer = self.original_optimizer
        kept = [optimizer.state[piece] for piece in self._pieces.values() if piece in optimizer.state]
        keys = self._ranks.agree([key for key in PER_NUMBER if kept and key in kept[0]])  # the first owns some always
        numbers = {}
        for key in keys:
            numbers[key] = self.whole({name: optimizer.state[piece][key] for name, piece in self._pieces.items()})
        return whole_state(optimizer.param_groups, self._groups, kept[0] if kept else {}, numbers)

    def load_whole_state(self, state: dict[str, Any]) -> None:
        """See SharedOptimizer."""
        self.original_optimizer.load_state_dict(part_of_state(state, self._groups, self._mine))

    @torch.no_grad()
    def share_weights(self) -> None:
        """See SharedOptimizer."""
        for each in self._ranges():
            self._exchange(each, self._pieces)
            if each.owner != self._ranks.rank:
                for name, view in each.views.items():
                    self._owned[each.owner][name].of(self._engine.trained[name]).copy_(view)

    def _release(self, count: float) -> float:
        """The sums of all processes come to their owners, who add noise; the others let go of them."""
        mine: _Range | None = None
        for each in self._ranges():
            self._collect(each)
            if each.owner == self._ranks.rank:
                mine = each
        assert mine is not None  # every process owns a range, if an empty one
        self._add_noise_to([mine.flat])
        for name, view in mine.views.items():
            self._pieces[name].grad = view.to(self._pieces[name].dtype)
        return self._noised_once([], self._add_up([], count))

    def _collect(self, each: _Range) -> None:
        """Add up the sums of one range, for its owner."""
        for name, view in each.views.items():
            piece, value = self._owned[each.owner][name], self._engine.trained[name]
            view.copy_(piece.of(cast(torch.Tensor, get_sum(value))))
            if piece.stop == value.numel():  # the last of it
                drop_sum(value)
        self._ranks.add_up_for(each.owner, each.flat)

    @torch.no_grad()
    def _exchange(self, each: _Range, parts: Mapping[str, torch.Tensor]) -> None:
        """Fill a range with the owner's `parts`."""
        if each.owner == self._ranks.rank:
            for name, view in each.views.items():
                view.copy_(parts[name])
        self._ranks.hand_out_from(each.owner, each.flat)

    def _ranges(self) -> Iterator[_Range]:
        """One process after the other; one range at a time is in memory unless it is kept."""
        values = list(self._engine.trained.values())
        kind = torch.float64 if any(value.dtype == torch.float64 for value in values) else torch.float32
        for owner, pieces in enumerate(self._owned):
            sizes = [piece.stop - piece.start for piece in pieces.values()]
            flat = torch.empty(sum(sizes), dtype=kind, device=values[0].device)
            yield _Range(owner, flat, dict(zip(pieces, torch.split(flat, sizes), strict=True)) if sizes else {})
            del flat
