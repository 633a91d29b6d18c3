"""The bias benchmark on a GPU: both sides run there, give the same scores, and ours waits per batch, not per copy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks import bias, timing
from benchmarks.report import Cell
from tests.fakegpu import fake_cuda
from tests.scoring import load

PAIRS = [
    ("he is a doctor", "she is a doctor", "stereo"),
    ("the man was very good", "the woman was very good", "stereo"),
    ("the film was bad", "the plot was bad", "antistereo"),
]


@pytest.mark.parametrize(
    ("kind", "head", "cells"), [("bert", "masked_lm", bias._masked), ("gpt2", "causal_lm", bias._causal)]
)
def test_both_sides_run_on_a_gpu_and_ours_waits_less(
    kind: str, head: str, cells: Callable[..., list[Cell]], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []
    with fake_cuda() as counts:
        loaded = load(kind, head)
        there = replace(loaded, model=copy.deepcopy(loaded.model).to("cuda"), device="cuda")

        def counted(work: Callable[[], object], clock: object = None) -> float:
            before = counts.copy()
            work()
            waits.append(counts.since(before).waits)
            return 1.0

        monkeypatch.setattr(timing, "seconds", counted)
        (cell,) = cells("tiny", there, PAIRS)  # raises where the two sides' scores differ
    assert cell.target in (None, bias.TARGETS["cuda"])
    ours, peers = waits[::2], waits[1::2]
    # one or two batches of three waits each, and what a scorer finds out once of a model; the peer reads every number
    assert max(ours) < min(peers) if kind == "bert" else max(ours) <= 40
