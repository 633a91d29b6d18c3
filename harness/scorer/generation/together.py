"""Tokens one after another for rows of unequal prompts and sizes; rows that end leave the batch.

Prompts are read padded on the right, where a causal model does not look. New tokens follow behind the padding, which a
mask hides; keys carry their positions already, so the gap changes nothing. Samples of one prompt share its reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch.nn.functional import pad
from transformers.cache_utils import DynamicCache

from harness.scorer.forward.batching import TokenBudget, run_batches
from harness.scorer.forward.engine import Engine
from harness.scorer.forward.positions import NeededPositions
from harness.scorer.generation.decoding import Decoded, Picker, Prompts, alike, decode
from harness.scorer.handler import Parts

_LEAVE = 8
"""Rows leave once they are an eighth of the batch: to copy the keys and values that stay is not free either."""
HELD = 0.25
"""Memory of a token that is held while others are written, against one in a forward pass: keys and values alone."""


def groups(parts: Parts, prompts: Prompts, sizes: Sequence[int], indices: Sequence[int]) -> list[list[int]]:
    """Which prompts may share batches: all, where rows of unequal prompts can be continued together."""
    if parts.branches.may_be_tried and parts.branches.work:
        return [list(indices)] if indices else []
    return alike(prompts, sizes, indices)


def continued(parts: Parts, prompts: Prompts, sizes: Sequence[int], picker: Picker, stops: torch.Tensor) -> Decoded:
    """At most so many tokens after each prompt of one of these groups."""
    if parts.branches.may_be_tried and parts.branches.work:
        return decode_together(parts.engine, parts.head, prompts, sizes, picker, stops)
    return decode(parts.engine, parts.head, prompts, sizes[0], picker, stops)


def decode_together(
    engine: Engine, head: NeededPositions, prompts: Prompts, sizes: Sequence[int], picker: Picker, stops: torch.Tensor
) -> Decoded:
    """At most so many tokens after each prompt, none of them in `stops`. For models that pass `Branches.work`."""
    read = _Reading(engine, head, prompts)
    whole = _State.of(prompts, sizes, engine)
    mine = whole
    hidden = read.hidden(mine.length, max(sizes))
    logits = read.first(prompts)
    for at in range(max(sizes)):
        picked = picker.pick(logits, mine.is_open, mine.row)
        stopping = torch.isin(picked.token, stops)
        writing = mine.is_open & picked.finite & ~stopping
        mine.finite &= ~mine.is_open | picked.finite
        mine.stopped |= mine.is_open & picked.finite & stopping
        mine.written[:, at] = torch.where(writing, picked.token, mine.written[:, at])
        mine.count += writing
        mine.is_open = writing & (at + 1 < mine.most)
        if picked.last is not None:
            mine.is_open &= ~picked.last
        left = int(mine.is_open.sum())
        if not left:
            break
        if len(mine.row) - left >= len(mine.row) / _LEAVE:
            stay = torch.nonzero(mine.is_open)[:, 0]
            whole.put(mine)
            mine, hidden = mine.only(stay), hidden[stay]
            read.keep(stay)
        logits = read.next(mine.written[:, at], mine.length + at, hidden, at)
    whole.put(mine)
    pairs = zip(whole.written.tolist(), whole.count.tolist(), strict=True)
    tokens = [row[:count] for row, count in pairs]
    return Decoded(tokens, whole.finite.tolist(), whole.stopped.tolist(), read.padded)


@dataclass(slots=True)
class _State:
    """What is known of some rows of a batch, each [rows] but `written`."""

    row: torch.Tensor
    """Which of the batch."""
    length: torch.Tensor
    """Tokens of its prompt."""
    most: torch.Tensor
    """Tokens to write at most."""
    written: torch.Tensor
    """New tokens, [rows, most of all]."""
    count: torch.Tensor
    """How many of them count."""
    finite: torch.Tensor
    stopped: torch.Tensor
    is_open: torch.Tensor

    @classmethod
    def of(cls, prompts: Prompts, sizes: Sequence[int], engine: Engine) -> _State:
        """All rows before the first new token."""
        numbers = [[row, len(prompt), size] for row, (prompt, size) in enumerate(zip(prompts, sizes, strict=True))]
        row, length, most = torch.tensor(numbers, device=engine.device).T
        written = torch.full((len(prompts), max(sizes)), engine.pad, device=engine.device)
        every = torch.ones_like(row, dtype=torch.bool)
        return cls(row, length, most, written, torch.zeros_like(row), every, ~every, every.clone())

    def only(self, rows: torch.Tensor) -> _State:
        """Some of these rows."""
        return _State(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    def put(self, part: _State) -> None:
        """Take over what has become of some of the rows."""
        if part is self:
            return
        for each in fields(self):
            getattr(self, each.name).index_copy_(0, part.row, getattr(part, each.name))


class _Reading:
    """The model with the keys and values of all rows."""

    def __init__(self, engine: Engine, head: NeededPositions, prompts: Prompts) -> None:
        self._engine = engine
        self._head = head
        self._width = max(map(len, prompts))
        self._cache: Any = None
        self.padded = 0
        """Tokens read so far, padding too."""

    def hidden(self, lengths: torch.Tensor, size: int) -> torch.Tensor:
        """Added to attention: nothing, or the lowest number between a prompt's end and its continuation."""
        places = torch.arange(self._width + size, device=lengths.device)
        gap = (places >= lengths[:, None]) & (places < self._width)
        dtype = self._engine.model.dtype
        mask = torch.zeros(gap.shape, dtype=dtype, device=lengths.device)
        return mask.masked_fill_(gap, torch.finfo(dtype).min)[:, None, None]

    def first(self, prompts: Prompts) -> torch.Tensor:
        """Logits after each prompt, float32 [rows, vocabulary]. Equal prompts are read once."""
        known = {prompt: index for index, prompt in enumerate(dict.fromkeys(prompts))}
        own = list(known)
        order: list[int] = []
        caches, logits = [], []

        def work(batch: list[int]) -> tuple[Any, torch.Tensor]:
            ids = self._engine.padded([own[at] for at in batch], self._engine.pad)
            cache = DynamicCache()
            mask = torch.ones_like(ids)
            inputs = {"input_ids": ids, "attention_mask": mask, "past_key_values": cache, "use_cache": True}
            ends = np.array([row * int(ids.shape[1]) + len(own[at]) - 1 for row, at in enumerate(batch)])
            self.padded += ids.numel()
            return cache, self._head.at(inputs, ends)

        budget = TokenBudget(self._engine.usual_budget)
        padding = self._engine.usual_padding
        for batch, found in run_batches([len(p) for p in own], budget, work, lambda _: False, padding=padding):
            assert found is not None
            order += batch
            caches.append(found[0])
            logits.append(found[1])
        place = {at: row for row, at in enumerate(order)}
        rows = torch.tensor([place[known[prompt]] for prompt in prompts], device=self._engine.device)
        self._cache = self._joined(caches, rows)
        return torch.cat(logits)[rows]

    def next(self, token: torch.Tensor, position: torch.Tensor, hidden: torch.Tensor, at: int) -> torch.Tensor:
        """Logits after one more token of each row, float32 [rows, vocabulary]."""
        self.padded += len(token)
        inputs = {
            "input_ids": token[:, None],
            "attention_mask": hidden[..., : self._width + at + 1],
            "position_ids": position[:, None],
            "past_key_values": self._cache,
            "use_cache": True,
        }
        return self._head.next(inputs)

    def keep(self, rows: torch.Tensor) -> None:
        """Forget all other rows."""
        for layer in self._cache.layers:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]

    def _joined(self, caches: Sequence[Any], rows: torch.Tensor) -> Any:
        """One cache of these rows of all, padded on the right to the longest prompt."""
        whole = caches[0]
        for number, layer in enumerate(whole.layers):
            for name in ("keys", "values"):
                parts = [getattr(cache.layers[number], name) for cache in caches]
                wide = [pad(part, (0, 0, 0, self._width - part.shape[-2])) for part in parts]
                setattr(layer, name, torch.cat(wide)[rows])
                for cache in caches[1:]:
                    setattr(cache.layers[number], name, None)
        return whole
