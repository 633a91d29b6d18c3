"""The processes of one run (torchrun, accelerate launch), each with a shard of the records."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist

from harness.errors import AuditError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those of the run. The first one keeps the ledger, draws the noise, writes the checkpoint."""

    rank: int = 0
    world: int = 1

    @classmethod
    def current(cls) -> Ranks:
        """As the launcher has set them up; one process without a launcher."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one collective. All are on one device."""
        self._together(tensors, dist.all_reduce)

    def hand_out(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor by the first process' one, bit for bit, in one collective. All are on one device."""
        self._together(tensors, lambda flat: dist.broadcast(flat, 0))

    def add_up_for(self, owner: int, flat: torch.Tensor) -> None:
        """Replace `flat` by its sum over all processes, in process `owner`; the others' is of no use afterwards."""
        if self.world > 1 and flat.numel():
            dist.reduce(flat, owner)

    def hand_out_from(self, owner: int, flat: torch.Tensor) -> None:
        """Replace `flat` by that of process `owner`, bit for bit."""
        if self.world > 1 and flat.numel():
            dist.broadcast(flat, owner)

    def _together(self, tensors: Sequence[torch.Tensor], collective: Callable[[torch.Tensor], object]) -> None:
        if self.world == 1:
            return
        kind = torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32
        flat = torch.cat([tensor.to(kind).flatten() for tensor in tensors])
        collective(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, one in zip(tensors, parts, strict=True):
            tensor.copy_(one.view_as(tensor))

    def agree(self, value: T) -> T:
        """The first process' `value`, in all of them."""
        if self.world == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held)
        return held[0]

    def check_same(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Raise AuditError, in all processes, when they hold different weights: their sums were not of one function."""
        if self.world == 1:
            return
        found: list[str] = [""] * self.world
        dist.all_gather_object(found, _digest(weights))
        other = next((rank for rank, digest in enumerate(found) if digest != found[0]), None)
        if other is not None:
            raise AuditError(
                f"process {other} holds other weights than process 0; give all of them the same checkpoint, the same "
                "folder for the output, and the same versions"
            )


def _digest(weights: Iterable[tuple[str, torch.Tensor]]) -> str:
    digest = hashlib.sha256()
    for name, value in weights:
        digest.update(name.encode())
        digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
