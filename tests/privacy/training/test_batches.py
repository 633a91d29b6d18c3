from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from privacy.clipping.losses import IGNORED
from privacy.training.data.batches import Collator, plan_batches

PADDING = {"input_ids": 9, "attention_mask": 0, "targets": IGNORED}


def lengths(n: int) -> list[int]:
    return [int(length) for length in np.random.default_rng(0).integers(1, 200, n)]


@pytest.mark.parametrize(("n", "batch_size"), [(1, 4), (7, 8), (100, 8), (1000, 16)])
def test_every_epoch_holds_every_record_once(n: int, batch_size: int) -> None:
    planned = plan_batches(lengths(n), batch_size, epochs=3, seed=0)
    per_epoch = -(-n // batch_size)
    assert len(planned) == 3 * per_epoch
    for start in range(0, len(planned), per_epoch):
        epoch = planned[start : start + per_epoch]
        assert sorted(index for batch in epoch for index in batch) == list(range(n))
        assert Counter(map(len, epoch))[batch_size] >= per_epoch - 1


def test_the_plan_depends_on_the_seed_alone() -> None:
    first, again, other = (plan_batches(lengths(200), 8, 2, seed) for seed in (1, 1, 2))
    assert first == again != other


def test_epochs_batch_different_records_together() -> None:
    planned = plan_batches(lengths(400), 8, 2, 0)
    first, second = ({frozenset(batch) for batch in planned[:50]}, {frozenset(batch) for batch in planned[50:]})
    assert len(first & second) <= 1


def test_records_of_similar_length_meet() -> None:
    sizes = lengths(1600)
    planned = plan_batches(sizes, 16, 1, 0)
    order = np.random.default_rng(1).permutation(len(sizes)).reshape(-1, 16).tolist()
    assert padded(planned, sizes) < 1.15 * sum(sizes) < padded(order, sizes)


def padded(batches: list[list[int]], sizes: list[int]) -> int:
    return sum(len(batch) * max(sizes[index] for index in batch) for batch in batches)


def record(length: int) -> dict[str, list[int]]:
    ids = list(range(1, length + 1))
    return {"input_ids": ids, "attention_mask": [1] * length, "targets": ids}


def test_padding_is_unattended_and_carries_no_target() -> None:
    (batch,) = Collator(lambda given: given, PADDING, parts=1, pad_left=False)([record(2), record(3)])
    assert batch["input_ids"].tolist() == [[1, 2, 9], [1, 2, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch["targets"].tolist() == [[1, 2, IGNORED], [1, 2, 3]]


def test_padding_on_the_left() -> None:
    (batch,) = Collator(lambda given: given, PADDING, parts=1, pad_left=True)([record(1), record(3)])
    assert batch["input_ids"].tolist() == [[9, 9, 1], [1, 2, 3]]
    assert batch["targets"].tolist() == [[IGNORED, IGNORED, 1], [1, 2, 3]]


def test_a_batch_in_parts_pads_each_part_to_its_own_longest() -> None:
    parts = Collator(lambda given: given, PADDING, parts=2, pad_left=False)([record(n) for n in (1, 2, 5, 4, 3)])
    assert [tuple(part["input_ids"].shape) for part in parts] == [(3, 5), (2, 4)]


def test_a_number_per_record_stays_a_number() -> None:
    (batch,) = Collator(lambda given: {**given, "label": [3]}, PADDING, parts=1, pad_left=False)([record(2), record(1)])
    assert torch.equal(batch["label"], torch.tensor([3, 3]))
