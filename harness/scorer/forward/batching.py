"""Batches by token budget: longest rows first, halved when memory runs out, nothing lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import TypeVar

from harness.scorer.forward.lanes import ONE_LANE, Lanes

T = TypeVar("T")
_QUEUED = 2
"""Batches per lane that are under way: the next is there when one is done."""
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
    lanes: Lanes = ONE_LANE,
) -> Iterator[tuple[list[int], T | None]]:
    """Every row once, longest first (so that memory runs out at once or not at all): (row indices, result of `work`).

    A batch that ends in an `out_of_memory` error is tried again at half its rows, and the budget stays there;
    a single row that does not fit gives None. A batch holds at most `padding` tokens of padding, where given.
    Where there are several lanes the work is cut so that all have as much to do.
    """
    todo = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    share = _even_share(sum(lengths), budget.tokens, lanes.count)
    running: deque[tuple[list[int], Future[T | None]]] = deque()
    queued = 1 if lanes.count == 1 else _QUEUED * lanes.count
    start = 0
    try:
        while start < len(todo) or running:
            while start < len(todo) and len(running) < queued:
                batch = _next_batch(todo, start, lengths, min(budget.tokens, share), padding)
                start += len(batch)
                running.append((batch, lanes.start(partial(_attempt, work, batch, out_of_memory))))
            batch, future = running.popleft()
            result = future.result()
            if result is None and len(batch) > 1:
                budget.halve(len(batch), lengths[batch[0]])
                start -= len(batch)
                todo[start : start + len(batch)] = batch  # over rows that were taken
                continue
            yield batch, result
    finally:
        for _, future in running:
            future.cancel()  # which what runs already ignores
        wait([future for _, future in running])


def _even_share(tokens: int, budget: int, lanes: int) -> int:
    """Tokens per batch, at most the budget, so that the batches come out at a multiple of the lanes."""
    if lanes == 1:
        return budget
    rounds = max(1, -(-tokens // (budget * lanes)))
    return -(-tokens // (rounds * lanes))


def _next_batch(todo: Sequence[int], start: int, lengths: Sequence[int], tokens: int, padding: int | None) -> list[int]:
    longest = lengths[todo[start]]
    batch = list(todo[start : start + TokenBudget(tokens).rows(longest)])
    if padding is None:
        return batch
    waste = accumulate(longest - lengths[row] for row in batch)
    return [row for row, wasted in zip(batch, waste, strict=True) if wasted <= padding]


def _attempt(work: Callable[[list[int]], T], batch: list[int], out_of_memory: ErrorTest) -> T | None:
    """Result of the batch, None when memory ran out; returning ends the traceback that would keep tensors alive."""
    try:
        return work(batch)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return None
