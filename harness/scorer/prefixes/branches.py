"""Rows that branch, and rows after a stem whose keys and values they are lent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from harness.scorer.forward.engine import Engine, pad_rows
from harness.scorer.forward.lanes import keeps_no_state
from harness.scorer.forward.memory import batch_cost
from harness.scorer.forward.positions import NeededPositions
from harness.scorer.forward.trunk import agree
from harness.scorer.prefixes.layout import Limits, Row, lay_out

_WINDOW = re.compile("window|chunk")
_ROWS = (256, 1024)
"""Shortest and longest limit of a row that branches. At 256 a model 576 wide loses 4% to hidden tokens."""


@dataclass(frozen=True, slots=True)
class Stem:
    """Keys and values of the first `length` tokens."""

    cache: Any
    length: int


class Branches:
    """What the model is given for rows of `harness.scorer.prefixes.layout`, and whether it can read them."""

    def __init__(self, engine: Engine, head: NeededPositions) -> None:
        self._engine = engine
        self._head = head
        self._works: bool | None = None

    def limits(self, budget: int) -> Limits | None:
        """When sharing is worth it on this device, in batches of `budget` tokens; None where it may not be tried.

        Attention costs 4 * hidden operations a token seen, and all else 24 * hidden^2: a row that branches may cost as
        much in hidden tokens as another batch.
        """
        if not self.may_be_tried:
            return None
        cost = batch_cost(self._engine.model) if self._engine.device == "cpu" else 1024.0
        hidden = float(getattr(self._engine.model.config, "hidden_size", 0) or 1024)
        least, most = _ROWS
        row = min(most, max(least, int((24 * hidden * cost) ** 0.5)))
        return Limits(min(row, budget), branch=cost / 10, stem=max(16.0, 2 * cost))

    @property
    def may_be_tried(self) -> bool:
        """Whether masks of our own reach the model's attention unchanged."""
        return _may_share(self._engine.model, self._engine.max_tokens)

    @property
    def work(self) -> bool:
        """Whether rows that branch get the numbers of single rows; tried once."""
        if self._works is None:
            self._works = self._check()
        return self._works

    def inputs(self, rows: Sequence[Row], stem: Stem | None) -> dict[str, Any]:
        """Arguments of one forward pass; an entry of a row is at its place in it."""
        ids = self._engine.padded([row.ids for row in rows], self._engine.pad)
        if stem is None and all(row.is_chain for row in rows):
            # a mask of ones spares transformers the search for packed texts, and lets attention be plainly causal
            return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
        past = 0 if stem is None else stem.length
        width = int(ids.shape[1])
        sees = np.zeros((len(rows), 1, width, past + width), dtype=np.bool_)
        sees[:, 0, np.arange(width), past + np.arange(width)] = True  # a row that sees nothing gives no number
        for index, row in enumerate(rows):
            sees[index, 0, : row.size, :past] = True
            sees[index, 0, : row.size, past : past + row.size] = row.sees()
        dtype = self._engine.model.dtype
        hidden = torch.from_numpy(~sees).to(ids.device)
        mask = torch.zeros(hidden.shape, dtype=dtype, device=ids.device)
        positions = torch.from_numpy(pad_rows([row.positions().tolist() for row in rows], 0)).to(ids.device)
        inputs = {
            "input_ids": ids,
            "attention_mask": mask.masked_fill_(hidden, torch.finfo(dtype).min),
            "position_ids": positions,
            "use_cache": False,
        }
        return inputs if stem is None else {**inputs, "past_key_values": _lent(stem.cache), "use_cache": True}

    def stem(self, ids: Sequence[int], before: Stem | None) -> tuple[dict[str, Any], Stem]:
        """Arguments of the pass that reads a stem's own tokens, and the stem, whose cache that pass fills."""
        past = 0 if before is None else before.length
        cache = DynamicCache() if before is None else _copied(before.cache)
        device = self._engine.device
        inputs = {
            "input_ids": torch.tensor([list(ids)], device=device),
            "attention_mask": torch.ones((1, past + len(ids)), dtype=torch.long, device=device),
            "position_ids": torch.arange(past, past + len(ids), device=device)[None],
            "past_key_values": cache,
            "use_cache": True,
        }
        return inputs, Stem(cache, past + len(ids))

    def _check(self) -> bool:
        """Whether stems and branches of a few tokens get the states of single rows."""
        vocabulary = self._engine.vocabulary
        if self._engine.max_tokens < 6:
            return False
        made = torch.randint(vocabulary, (12,), generator=torch.Generator().manual_seed(1)).tolist()
        other = [(token + 1) % vocabulary for token in made]
        reads = [(*made[:4], made[4], made[5]), (*made[:4], other[4], made[5]), (*made[:3], other[3], made[6])]
        try:
            with torch.inference_mode():
                alone = [self._head.last(self.inputs([lay_out([read], None).whole.rows[0]], None)) for read in reads]
                for limits in (Limits(64, 0, 0), Limits(1, 0, 1)):
                    together = self._all(reads, limits)
                    if not all(agree(a, b, self._engine.model.dtype) for a, b in zip(together, alone, strict=True)):
                        return False
        except (AttributeError, TypeError, ValueError, RuntimeError, IndexError, KeyError):
            return False  # an architecture this was not made for is read row by row
        return True

    def _all(self, reads: Sequence[tuple[int, ...]], limits: Limits) -> list[torch.Tensor]:
        """Logits after each input, read as laid out."""
        layout = lay_out(reads, limits)
        found: dict[int, torch.Tensor] = {}
        todo: list[tuple[Any, Stem | None]] = [(layout.whole, None)]
        while todo:
            part, before = todo.pop()
            own = before
            if part.stem is not None:
                inputs, own = self.stem(part.stem.read[part.stem.start : part.stem.end], before)
                self._head.fill(inputs)
            for row in part.rows:
                inputs = self.inputs([row], own)
                for node in row.nodes:
                    if node.leaf >= 0:
                        found[node.leaf] = self._head.last(inputs, node.place + node.end - node.start - 1)
            todo += [(inner, own) for inner in part.parts]
        return [found[index] for index in range(len(reads))]


def _may_share(model: Any, max_tokens: int) -> bool:
    """Whether masks of our own reach attention unchanged.

    Not so where attention is limited to a window, counted in places of the row; nor where it builds its own masks.
    """
    config = model.config
    implementation = getattr(config, "_attn_implementation", None)
    windows = [value for name, value in config.to_dict().items() if _WINDOW.search(name) and isinstance(value, int)]
    narrow = any(not isinstance(value, bool) and 0 < value < max_tokens for value in windows)
    return implementation == "sdpa" and not narrow and keeps_no_state(model)


class _LentLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not typed
    """Keys and values of a stem that rows read after, and nobody adds to."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.keys, self.values = layer.keys, layer.values
        self.dtype, self.device = layer.keys.dtype, layer.keys.device
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, cache_kwargs: Any = None) -> Any:
        """The stem's with the rows' own; kept for the layer's attention only, so one layer's copy is alive."""
        rows = len(key_states)
        keys = torch.cat([self.keys.expand(rows, -1, -1, -1), key_states], dim=-2)
        return keys, torch.cat([self.values.expand(rows, -1, -1, -1), value_states], dim=-2)


def _lent(cache: Any) -> DynamicCache:
    lent = DynamicCache()
    lent.layers = [_LentLayer(layer) for layer in cache.layers]
    return lent


def _copied(cache: Any) -> Any:
    """A cache that grows by itself; the tensors are shared until it does."""
    grown = copy(cache)
    grown.layers = [copy(layer) for layer in cache.layers]
    return grown
