"""Inputs that begin alike, read together: against one forward pass each, and against the distinct beginnings."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.api.requests.distributions import DistributionRequest
from harness.api.scorer import TokenRequest
from harness.scorer.hf import HFScorer
from harness.scorer.prefixes import branches
from harness.scorer.prefixes.layout import Limits, Node, Part, Row, lay_out
from tests.scoring import ATOL, all_logprobs, limit_memory, load, random_ids, scorer
from tests.tiny import KINDS, heads_of

VOCABULARY = 300
CAUSAL = [kind for kind in KINDS if "causal_lm" in heads_of(kind) and kind != "xlnet"]
SHARES = {"gpt2", "llama", "gpt-neox", "opt"}
"""Architectures that must take part: one that falls back would pass every other test."""
EAGER = (Limits(12, 0, 1), Limits(40, 0, 10_000), Limits(2, 0, 1))


def few_shot() -> list[TokenRequest]:
    """Three questions after the same examples, each with endings that partly begin alike, and one text apart."""
    examples = random_ids(14, 1, VOCABULARY)
    asked = []
    for question in range(3):
        context = examples + random_ids(3 + question, 10 + question, VOCABULARY)
        begun = random_ids(2, 20 + question, VOCABULARY)
        asked += [TokenRequest(context, begun + random_ids(n, 30 + n, VOCABULARY)) for n in (1, 3, 4)]
        asked.append(TokenRequest(context, (50 + question,)))
    return [*asked, TokenRequest(random_ids(7, 99, VOCABULARY), random_ids(4, 98, VOCABULARY)), asked[0]]


def eager(monkeypatch: pytest.MonkeyPatch, limits: Limits) -> None:
    """Share wherever anything can be saved, in rows and stems as `limits` say."""
    monkeypatch.setattr(branches, "_ROWS", (limits.row, limits.row))
    usual = branches.Branches.limits

    def forced(self: branches.Branches, budget: int) -> Limits | None:
        return None if usual(self, budget) is None else limits

    monkeypatch.setattr(branches.Branches, "limits", forced)


def full(model: Any, request: TokenRequest) -> Any:
    ids = request.context + request.target
    places = np.arange(len(request.context) - 1, len(ids) - 1)
    return all_logprobs(model, ids)[places, request.target]


@pytest.mark.parametrize("limits", EAGER)
@pytest.mark.parametrize("kind", CAUSAL)
def test_every_causal_architecture_gives_what_single_passes_give(
    kind: str, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(kind, "causal_lm")
    asked = few_shot()
    expected = [full(loaded.model, request) for request in asked]
    eager(monkeypatch, limits)
    for budget in (1, 40, 4000):
        one = HFScorer(loaded, token_budget=budget)
        for answer, logprobs in zip(one.ask(asked), expected, strict=True):
            np.testing.assert_allclose(answer.logprobs, logprobs, atol=ATOL, rtol=0)
        if kind in SHARES:
            assert one.counts.tokens < sum(len(request.context + request.target) - 1 for request in asked) / 2


def test_each_token_position_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = few_shot()
    reads = [(request.context + request.target)[:-1] for request in asked]
    beginnings = {read[:end] for read in reads for end in range(1, len(read) + 1)}
    eager(monkeypatch, Limits(1000, 0, 1))
    one = scorer("llama", "causal_lm")
    one.ask(asked)
    assert one.counts.tokens == len(beginnings)


def test_distributions_share_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [DistributionRequest(request.context, request.target) for request in few_shot()]
    expected = scorer("llama", "causal_lm").ask(asked)
    eager(monkeypatch, EAGER[0])
    one = scorer("llama", "causal_lm")
    for answer, other in zip(one.ask(asked), expected, strict=True):
        np.testing.assert_allclose(answer.entropies, other.entropies, atol=ATOL, rtol=0)
        assert answer.ranks.tolist() == other.ranks.tolist()
    assert one.counts.tokens < sum(len(request.context + request.target) - 1 for request in asked) / 2


@pytest.mark.parametrize("tokens", [30, 16])
def test_what_does_not_fit_together_is_read_alone(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = few_shot()
    small = limit_memory(load("gpt2", "causal_lm"), tokens, torch.OutOfMemoryError("CUDA out of memory"))
    eager(monkeypatch, Limits(1000, 0, 10_000) if tokens == 30 else Limits(12, 0, 1))
    expected = scorer("gpt2", "causal_lm").ask(asked)
    for answer, other, request in zip(HFScorer(small).ask(asked), expected, asked, strict=True):
        if answer.error is None:
            np.testing.assert_allclose(answer.logprobs, other.logprobs, atol=ATOL, rtol=0)
        else:
            assert "out of memory" in answer.error
            assert len(request.context + request.target) - 1 > tokens


@pytest.mark.parametrize("setting", [{"sliding_window": 8}, {"_attn_implementation": "eager"}])
def test_attention_that_would_not_see_our_mask_is_never_given_one(
    setting: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load("llama", "causal_lm")
    for name, value in setting.items():
        setattr(loaded.model.config, name, value)
    eager(monkeypatch, EAGER[0])
    one = HFScorer(loaded)
    one.ask(few_shot())
    reads = {(request.context + request.target)[:-1] for request in few_shot()}
    own = [len(read) for read in reads if not any(o != read and o[: len(read)] == read for o in reads)]
    assert (one.counts.rows, one.counts.tokens) == (len(own), sum(own))


def test_a_model_whose_states_differ_in_a_branch_is_read_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load("llama", "causal_lm")
    model = loaded.model

    def forget_positions(_module: Any, args: Any, inputs: dict[str, Any]) -> Any:
        inputs.pop("position_ids", None)
        return args, inputs

    model.base_model.register_forward_pre_hook(forget_positions, with_kwargs=True)
    eager(monkeypatch, EAGER[1])
    for answer, request in zip(HFScorer(loaded).ask(few_shot()), few_shot(), strict=True):
        np.testing.assert_allclose(answer.logprobs, full(model, request), atol=ATOL, rtol=0)


READS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9).map(tuple), min_size=1, max_size=12, unique=True)


@given(READS, st.integers(1, 30), st.integers(0, 5), st.integers(1, 8))
def test_a_layout_leads_to_every_token_of_every_input(
    reads: list[tuple[int, ...]], row: int, branch: int, stem: int
) -> None:
    reads = [read for read in reads if not any(o != read and o[: len(read)] == read for o in reads)]
    layout = lay_out(reads, Limits(row, branch, stem))
    for read, end in zip(reads, layout.ends, strict=True):
        found: list[int] = []
        node = end
        while True:
            assert node.unit is not None
            held = read_by(node.unit)
            length = node.end - node.start
            found[:0] = held[node.place : node.place + length]
            if not isinstance(node.unit, Part):
                sees = node.unit.sees()[node.place + length - 1]
                assert sees.sum() == len(in_row(node))
            if node.above is None:
                break
            node = node.above
        assert tuple(found) == read
    assert tokens_of(layout.whole) <= sum(map(len, reads))
    generous = lay_out(reads, Limits(10**6, 0, 10**6)).whole
    beginnings = {read[:end] for read in reads for end in range(1, len(read) + 1)}
    if all(row.size == len(beginnings) for row in generous.rows):
        assert tokens_of(generous) == len(beginnings)


def in_row(last: Node) -> list[int]:
    tokens: list[int] = []
    node: Node | None = last
    while node is not None and node.unit is last.unit:
        tokens += node.read[node.start : node.end]
        node = node.above
    return tokens


def read_by(unit: Row | Part) -> list[int]:
    if isinstance(unit, Row):
        return unit.ids
    assert unit.stem is not None
    return list(unit.stem.read[unit.stem.start : unit.stem.end])


def tokens_of(part: Part) -> int:
    own = 0 if part.stem is None else part.stem.end - part.stem.start
    return own + sum(row.size for row in part.rows) + sum(map(tokens_of, part.parts))


def test_many_beginnings_of_one_text_do_not_run_out_of_stack() -> None:
    text = random_ids(2000, 7, VOCABULARY)
    reads = [(*text[:end], 299) for end in range(1, 2000)]
    layout = lay_out(reads, Limits(64, 0, 1))
    assert tokens_of(layout.whole) < sum(map(len, reads))


def test_rows_below_a_stem_are_filled_up() -> None:
    reads = [(*range(100), token, token) for token in range(200, 240)]
    (part,) = lay_out(reads, Limits(20, 0, 16)).whole.parts
    assert [row.size for row in part.rows] == [20, 20, 20, 20]
    assert list(itertools.chain(*(row.ids for row in part.rows))) == [t for read in reads for t in read[100:]]
