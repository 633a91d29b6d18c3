"""Which process owns which of the trained weights: equal ranges of all of them laid end to end.

Ranges of numbers, not whole tensors: an embedding matrix may be a third of a model. Of each tensor a process owns at
most one piece, so that names tell pieces apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Piece:
    """Numbers `start` to `stop` of a tensor laid flat."""

    start: int
    stop: int

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The piece [stop - start], in the memory of `tensor` where that is contiguous."""
        return tensor.reshape(-1)[self.start : self.stop]


def partition(sizes: Mapping[str, int], processes: int) -> tuple[dict[str, Piece], ...]:
    """Pieces by name of each process, in the order of `sizes`; the first ones' ranges are full, the last may be empty.

    Args:
        sizes: numbers in each tensor, by name.
        processes: how many share them out.
    """
    most = -(-sum(sizes.values()) // processes)
    owned: tuple[dict[str, Piece], ...] = tuple({} for _ in range(processes))
    begin = 0
    for name, size in sizes.items():
        end = begin + size
        for owner in range(begin // most, -(-end // most)) if size else ():
            owned[owner][name] = Piece(max(begin, owner * most) - begin, min(end, (owner + 1) * most) - begin)
        begin = end
    return owned
