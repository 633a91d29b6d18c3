"""Batches by token budget: longest rows first, halved when memory runs out, nothing lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

T = TypeVar("T")
ErrorTest = Callable[[RuntimeError], bool]


@dataclass(slots=True)
class TokenBudget:
    """Most padded tokens (rows times longest row) of one batch. It only ever shrinks; one row always goes."""

    tokens: int
    halvings: int = 0

    def rows(self, longest: int) -> int:
        """Rows of at most `longest` tokens that fit."""
        return max(1, self.tokens // max(1, longest))

    def halve(self, rows: int, longest: int) -> None:
        """Allow from now on half of a batch that did not fit."""
        self.tokens = max(1, rows // 2) * max(1, longest)
        self.halvings += 1


def run_batches(
    lengths: Sequence[int],
    budget: TokenBudget,
    work: Callable[[list[int]], T],
    out_of_memory: ErrorTest,
    *,
    padding: int | None = None,
) -> Iterator[tuple[list[int], T | None]]:
    """Every row once, longest first (so that memory runs out at once or not at all): (row indices, result of `work`).

    A batch that ends in an `out_of_memory` error is tried again at half its rows, and the budget stays there;
    a single row that does not fit gives None. A batch holds at most `padding` tokens of padding, where given.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        batch = order[start : start + budget.rows(longest)]
        if padding is not None:
            waste = accumulate(longest - lengths[row] for row in batch)
            batch = [row for row, wasted in zip(batch, waste, strict=True) if wasted <= padding]
        result = _attempt(work, batch, out_of_memory)
        if result is None and len(batch) > 1:
            budget.halve(len(batch), longest)
            continue
        start += len(batch)
        yield batch, result


def _attempt(work: Callable[[list[int]], T], batch: list[int], out_of_memory: ErrorTest) -> T | None:
    """Result of the batch, None when memory ran out; returning ends the traceback that would keep tensors alive."""
    try:
        return work(batch)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return None
