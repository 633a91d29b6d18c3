"""Which records go into which optimizer step, and how they become tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from privacy.clipping.losses import IGNORED
from privacy.training.data.tokens import Features

MicroBatch = dict[str, torch.Tensor]
LogicalBatch = list[MicroBatch]
"""The records of one optimizer step, in parts that fit in memory; each part is padded to its own longest record."""

AddLabels = Callable[[Features], Features]

_WINDOW_BATCHES = 50
"""Batches whose records are sorted by length together; more saves padding, fewer mixes better (transformers: 50)."""


def plan_batches(lengths: Sequence[int], batch_size: int, epochs: int, seed: int) -> list[list[int]]:
    """Record indices of every optimizer step of all epochs; each epoch visits each record once.

    Records of similar length meet: a shuffled order is cut into windows, sorted by length inside each, cut into
    batches, and the batches are shuffled. At least four windows per epoch, so that batches differ between epochs.
    """
    rng = np.random.default_rng(seed)
    window = batch_size * max(1, min(_WINDOW_BATCHES, len(lengths) // (4 * batch_size)))
    planned: list[list[int]] = []
    for _ in range(epochs):
        order = rng.permutation(len(lengths)).tolist()
        for start in range(0, len(order), window):
            order[start : start + window] = sorted(order[start : start + window], key=lambda index: lengths[index])
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        planned += [batches[index] for index in rng.permutation(len(batches))]
    return planned


class Collator:
    """Turns the records of one optimizer step into a LogicalBatch of at most `parts` micro-batches."""

    def __init__(self, add_labels: AddLabels, padding: Mapping[str, int], *, parts: int, pad_left: bool) -> None:
        self._add_labels = add_labels
        self._padding = padding
        self._parts = parts
        self._pad_left = pad_left

    def __call__(self, records: list[Features]) -> LogicalBatch:
        """`records` in the order of the plan; labels (and masks) are drawn in that order."""
        labelled = [self._add_labels(record) for record in records]
        size = -(-len(labelled) // self._parts)
        return [self.pad(labelled[start : start + size]) for start in range(0, len(labelled), size)]

    def micro_batch(self, records: Sequence[Features], length: int | None = None) -> MicroBatch:
        """`records` as one part; there is at least one. See `pad`."""
        return self.pad([self._add_labels(record) for record in records], length)

    def label(self, record: Features) -> Features:
        """`record` with its targets, which may be drawn."""
        return self._add_labels(record)

    def pad(self, records: Sequence[Features], length: int | None = None) -> MicroBatch:
        """Labelled records as one part, padded to `length` tokens; None: to those of the longest."""
        longest = length or max(len(record["input_ids"]) for record in records)
        return {name: torch.tensor([self._row(name, record, longest) for record in records]) for name in records[0]}

    def _row(self, name: str, record: Features, longest: int) -> Any:
        if name not in self._padding:  # one number per record, e.g. its class
            return record[name][0]
        fill = [self._padding[name]] * (longest - len(record["input_ids"]))
        return fill + record[name] if self._pad_left else record[name] + fill


def padding_values(tokenizer: Any) -> dict[str, int]:
    """What each per-token feature is padded with; padding is neither attended to nor predicted."""
    return {
        "input_ids": tokenizer.pad_token_id or 0,  # any token will do, nothing looks at it
        "attention_mask": 0,
        "token_type_ids": tokenizer.pad_token_type_id,
        "targets": IGNORED,
    }
