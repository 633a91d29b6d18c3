"""What every kind of request shares: the model on its device, padding, budgets, counts and refusals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from harness.api.scorer import Counts
from harness.scorer.forward.batching import TokenBudget, run_batches
from harness.scorer.forward.lanes import ONE_LANE, Lanes, lanes_for
from harness.scorer.forward.memory import (
    default_budget,
    default_padding,
    is_out_of_memory,
    release_memory,
    worth_a_lane,
)
from harness.scorer.forward.positions import Ints

if TYPE_CHECKING:
    from harness.checkpoint import LoadedCheckpoint

T = TypeVar("T")
Rows = Sequence[Sequence[int]]


class Side(Enum):
    """Where padding goes so that it changes nothing; NONE where that holds for neither side."""

    RIGHT = "right"
    LEFT = "left"
    NONE = "none"


class Engine:
    """The loaded model and the work done with it, counted by kind of request."""

    def __init__(self, loaded: LoadedCheckpoint, token_budget: int | None) -> None:
        self.model = loaded.model
        self.tokenizer = loaded.tokenizer
        self.device = loaded.device
        self.max_tokens = loaded.info.max_tokens
        self.vocabulary = int(self.model.get_input_embeddings().num_embeddings)
        self.pad = pad_token(self.model, self.vocabulary)
        self.padding_moves = loaded.padding_moves
        self.counts: dict[str, Counts] = {}
        self._is_given = token_budget is not None
        self.usual_budget = default_budget(self.device, self.model) if token_budget is None else token_budget
        self.usual_padding = default_padding(self.device, self.model) if token_budget is None else None
        self._budgets: dict[str, TokenBudget] = {}
        self._lanes = ONE_LANE

    def budget(self, kind: str) -> int:
        """Most padded tokens of the next batch of the kind."""
        known = self._budgets.get(kind)
        return self.usual_budget if known is None else known.tokens

    def count(self, kind: str) -> Counts:
        """Work done for one kind of request."""
        return self.counts.setdefault(kind, Counts())

    @contextmanager
    def timed(self, kind: str, *, gradients: bool = False) -> Iterator[Counts]:
        """Add the seconds of the block to the counts of the kind; no gradients are kept inside it unless asked for."""
        counts = self.count(kind)
        start = time.perf_counter()
        try:
            with torch.inference_mode(not gradients), torch.set_grad_enabled(gradients):
                yield counts
        finally:
            counts.seconds += time.perf_counter() - start

    def batches(
        self,
        kind: str,
        lengths: Sequence[int],
        work: Callable[[list[int]], T],
        *,
        padding: int | None = None,
        memory: float = 1,
        side_by_side: bool = False,
    ) -> Iterator[tuple[list[int], T | None]]:
        """`run_batches` with the budget of the kind; counts rows, batches and halvings of what ran.

        A token takes `memory` times what it takes a forward pass: the budget starts at that part of the usual one
        (of a budget that was given, never at more).
        `side_by_side`: `work` may run in several threads at once.
        """
        lanes = self._lanes_of(lengths) if side_by_side else ONE_LANE
        if self._is_given:
            memory = max(memory, 1)
        budget = self._budgets.setdefault(kind, TokenBudget(max(1, int(self.usual_budget / memory))))
        counts = self.count(kind)
        for batch, result in run_batches(lengths, budget, work, self._ran_out, padding=padding, lanes=lanes):
            counts.halvings = budget.halvings
            if result is not None:
                counts.rows += len(batch)
                counts.batches += 1
            yield batch, result

    def forwards(
        self,
        kind: str,
        lengths: Sequence[int],
        work: Callable[[list[int]], T],
        *,
        side: Side = Side.RIGHT,
        memory: int = 1,
        side_by_side: bool = False,
    ) -> Iterator[tuple[list[int], T | None]]:
        """Batches of one padded forward pass each, whose tokens are counted; of equal lengths where nothing may pad."""
        counts = self.count(kind)
        padding = 0 if side is Side.NONE else self.usual_padding
        for batch, result in self.batches(
            kind, lengths, work, padding=padding, memory=memory, side_by_side=side_by_side
        ):
            if result is not None:
                counts.tokens += sum(lengths[row] for row in batch)
                counts.padded_tokens += len(batch) * lengths[batch[0]]
            yield batch, result

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids, special tokens and spaces kept."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def padded(self, rows: Rows, fill: int, side: Side = Side.RIGHT) -> torch.Tensor:
        """Rows side by side on the device, int64 [rows, longest]."""
        return torch.from_numpy(pad_rows(rows, fill, side)).to(self.device)

    def mask(self, rows: Rows, side: Side) -> torch.Tensor:
        """1 where a row has a token, 0 where it is padded, int64 [rows, longest]."""
        return self.padded([[1] * len(row) for row in rows], 0, side)

    def refuse(self, tokens: Sequence[int]) -> str | None:
        """Why the model cannot read the tokens: none, too many, or one its embedding lacks (fatal on CUDA)."""
        if not tokens:
            return "there is no token to read"
        if len(tokens) > self.max_tokens:
            return f"{len(tokens)} tokens are more than the {self.max_tokens} the model reads at once"
        if min(tokens) < 0 or max(tokens) >= self.vocabulary:
            wrong = next(token for token in tokens if not 0 <= token < self.vocabulary)
            return f"token {wrong} is outside the model's vocabulary of {self.vocabulary}"
        return None

    def too_big(self, tokens: int) -> str:
        """The error of a single row that does not fit in memory."""
        return f"out of memory on {self.device} for a single row of {tokens} tokens"

    def _lanes_of(self, lengths: Sequence[int]) -> Lanes:
        """As many lanes as the caller may use, where each gets enough to do; else all threads share a batch."""
        count = lanes_for(self.model, self.device)
        if len(lengths) < 2 * count or sum(lengths) < count * worth_a_lane(self.model):
            return ONE_LANE
        if self._lanes.count != count:
            self._lanes = Lanes(count)
        return self._lanes

    def _ran_out(self, error: RuntimeError) -> bool:
        if not is_out_of_memory(error):
            return False
        release_memory(self.device)
        return True


def pad_rows(rows: Rows, fill: int, side: Side = Side.RIGHT) -> Ints:
    """Rows of token ids as int64 [rows, longest], filled with `fill`. Raises ValueError if NONE would need filling."""
    longest = max(map(len, rows))
    if side is Side.NONE and any(len(row) != longest for row in rows):
        raise ValueError("rows of unequal length where nothing may be padded")
    padded = np.full((len(rows), longest), fill, dtype=np.int64)
    for index, row in enumerate(rows):
        if side is Side.LEFT:
            padded[index, longest - len(row) :] = row
        else:
            padded[index, : len(row)] = row
    return padded


def pad_token(model: Any, vocabulary: int) -> int:
    """What the model itself takes for padding, or token 0 where its embedding has no such row; padding is masked."""
    named = model.config.pad_token_id
    return int(named) if named is not None and 0 <= named < vocabulary else 0
