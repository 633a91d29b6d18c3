from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from harness.scorer.forward.batching import TokenBudget, run_batches
from harness.scorer.forward.engine import Side, pad_rows, pad_token
from harness.scorer.forward.memory import is_out_of_memory

LENGTHS = [3, 9, 4, 9, 1, 2, 7]


def never(_error: RuntimeError) -> bool:
    return False


def limited(rows: int, seen: list[list[int]]) -> Callable[[list[int]], int]:
    def work(batch: list[int]) -> int:
        seen.append(batch)
        if len(batch) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return len(batch)

    return work


@pytest.mark.parametrize("tokens", [1, 9, 18, 1000])
def test_every_row_runs_once_longest_first_within_the_budget(tokens: int) -> None:
    batches = [batch for batch, _ in run_batches(LENGTHS, TokenBudget(tokens), len, never)]
    flat = [row for batch in batches for row in batch]
    assert sorted(flat) == list(range(len(LENGTHS)))
    assert [LENGTHS[row] for row in flat] == sorted(LENGTHS, reverse=True)
    assert all(len(batch) == 1 or len(batch) * LENGTHS[batch[0]] <= tokens for batch in batches)


def test_budget_counts_padded_tokens() -> None:
    batches = [batch for batch, _ in run_batches(LENGTHS, TokenBudget(18), len, never)]
    assert batches == [[1, 3], [6, 2], [0, 5, 4]]


@pytest.mark.parametrize(
    ("padding", "expected"), [(0, [[1, 3], [6], [2], [0], [5], [4]]), (4, [[1, 3, 6], [2, 0, 5], [4]])]
)
def test_padding_of_a_batch_is_bounded(padding: int, expected: list[list[int]]) -> None:
    batches = [batch for batch, _ in run_batches(LENGTHS, TokenBudget(1000), len, never, padding=padding)]
    assert batches == expected


def test_out_of_memory_halves_and_stays_halved() -> None:
    seen: list[list[int]] = []
    budget = TokenBudget(64)
    done = list(run_batches([8] * 16, budget, limited(3, seen), is_out_of_memory))
    assert [len(batch) for batch in seen] == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert [result for _, result in done] == [2] * 8
    assert (budget.tokens, budget.halvings) == (16, 2)
    assert sorted(row for batch, _ in done for row in batch) == list(range(16))


def test_a_single_row_that_does_not_fit_gives_none_and_the_rest_runs() -> None:
    def work(batch: list[int]) -> str:
        if 0 in batch:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")
        return "fine"

    batches = run_batches([9, 2, 2], TokenBudget(27), work, is_out_of_memory)
    done = {tuple(batch): result for batch, result in batches}
    assert done[(0,)] is None
    assert {row for batch, result in done.items() if result == "fine" for row in batch} == {1, 2}


def test_other_errors_are_not_swallowed() -> None:
    def work(_batch: list[int]) -> int:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        list(run_batches([1, 2], TokenBudget(8), work, is_out_of_memory))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("anything"), True),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            True,
        ),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_out_of_memory_is_recognised(error: RuntimeError, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_padding_sides() -> None:
    assert pad_rows([[1, 2, 3], [4]], 0).tolist() == [[1, 2, 3], [4, 0, 0]]
    assert pad_rows([[1, 2, 3], [4]], 9, Side.LEFT).tolist() == [[1, 2, 3], [9, 9, 4]]
    with pytest.raises(ValueError, match="unequal"):
        pad_rows([[1, 2], [3]], 0, Side.NONE)


def test_padding_token_lies_in_the_vocabulary() -> None:
    def model(pad: int | None) -> SimpleNamespace:
        return SimpleNamespace(config=SimpleNamespace(pad_token_id=pad))

    assert [pad_token(model(pad), 10) for pad in (3, 10, -1, None)] == [3, 0, 0, 0]
