"""Candidates read as a tree, against one forward pass for each."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.api.requests.candidates import CandidatesRequest
from harness.api.scorer import TokenRequest
from harness.scorer.hf import HFScorer
from harness.scorer.likelihood.candidates import Tree
from tests.scoring import BATCHES, load, random_ids, scorer
from tests.tiny import KINDS, MAX_TOKENS, heads_of

CONTEXT = random_ids(5, 3, 300)
NUMBERS = tuple(itertools.product((20, 21, 22, 40), repeat=4))
CAUSAL = [kind for kind in KINDS if "causal_lm" in heads_of(kind) and kind != "xlnet"]


def one_by_one(model: Any, context: tuple[int, ...], candidates: Any) -> Any:
    return np.array(
        [answer.logprobs.sum() for answer in model.ask([TokenRequest(context, each) for each in candidates])]
    )


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_tree_gives_what_single_passes_give(kind: str, batch: int) -> None:
    model = scorer(kind, "causal_lm", token_budget=batch)
    (answer,) = model.ask([CandidatesRequest(CONTEXT, NUMBERS)])
    assert answer.error is None
    np.testing.assert_allclose(answer.totals, one_by_one(model, CONTEXT, NUMBERS), atol=1e-4)


@pytest.mark.parametrize("kind", CAUSAL)
def test_every_causal_architecture_gives_the_same(kind: str) -> None:
    model = scorer(kind, "causal_lm")
    (answer,) = model.ask([CandidatesRequest(CONTEXT, NUMBERS[:64])])
    np.testing.assert_allclose(answer.totals, one_by_one(model, CONTEXT, NUMBERS[:64]), atol=1e-4)


def test_unequal_lengths_beginnings_and_repeats() -> None:
    model = scorer("gpt2", "causal_lm")
    candidates = ((7,), (7, 8), (7, 8, 9), (7, 8), (5, 6, 7, 8, 9, 10), (11,))
    (answer,) = model.ask([CandidatesRequest(CONTEXT, candidates)])
    np.testing.assert_allclose(answer.totals, one_by_one(model, CONTEXT, candidates), atol=1e-4)


def test_each_token_position_is_read_once() -> None:
    model = scorer("gpt2", "causal_lm")
    model.ask([CandidatesRequest(CONTEXT, NUMBERS[:3])])  # with its check
    before = model.counts_of("candidates").tokens
    model.ask([CandidatesRequest(CONTEXT, NUMBERS)])
    assert model.counts_of("candidates").tokens - before == len(CONTEXT) + 4 + 4**2 + 4**3


def test_requests_after_one_context_are_one_tree_and_keep_their_own_answers() -> None:
    model, other = scorer("gpt2", "causal_lm"), CONTEXT[:4]
    model.ask([CandidatesRequest(CONTEXT, NUMBERS[:3])])  # with its check
    before = model.counts_of("candidates").tokens
    asked = [
        (CONTEXT, NUMBERS[:100]),
        (other, NUMBERS[:64]),
        (CONTEXT, NUMBERS[64:]),
        (CONTEXT, ()),
        (CONTEXT, ((7,),)),
    ]
    answers = model.ask([CandidatesRequest(context, candidates) for context, candidates in asked])
    read = len(CONTEXT) + 4 + 4**2 + 4**3 + len(other) + 1 + 4 + 4**2
    assert model.counts_of("candidates").tokens - before == read
    assert answers[3].error is not None
    for (context, candidates), answer in zip(asked, answers, strict=True):
        if candidates:
            np.testing.assert_allclose(answer.totals, one_by_one(model, context, candidates), atol=1e-4)


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=5).map(tuple), min_size=1, max_size=40))
def test_the_tree_has_each_beginning_once(candidates: list[tuple[int, ...]]) -> None:
    tree = Tree.of(candidates)
    beginnings = {each[:n] for each in candidates for n in range(1, len(each))}
    assert tree.positions == len(beginnings)
    edges = [np.array([float(10**-depth) * token for token in level.tokens]) for depth, level in enumerate(tree.levels)]
    sums = [sum(10**-depth * token for depth, token in enumerate(each)) for each in candidates]
    np.testing.assert_allclose(tree.totals(edges), sums)


def test_a_model_whose_cache_cannot_be_shared_is_asked_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise AttributeError("layers")

    monkeypatch.setattr("harness.scorer.likelihood.candidates.selected", broken)
    model = scorer("gpt2", "causal_lm")
    (answer,) = model.ask([CandidatesRequest(CONTEXT, NUMBERS[:20])])
    np.testing.assert_allclose(answer.totals, one_by_one(model, CONTEXT, NUMBERS[:20]), atol=1e-4)
    assert model.counts_of("token_logprobs").rows > 0


def test_candidates_of_one_token_say_nothing_of_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ((7,), (8,))

    def broken(*_: Any) -> Any:
        raise AttributeError("layers")

    monkeypatch.setattr("harness.scorer.likelihood.candidates.selected", broken)
    model = scorer("gpt2", "causal_lm")
    first, second = (model.ask([CandidatesRequest(CONTEXT, candidates)])[0] for candidates in (before, NUMBERS[:20]))
    np.testing.assert_allclose(first.totals, one_by_one(model, CONTEXT, before), atol=1e-4)
    np.testing.assert_allclose(second.totals, one_by_one(model, CONTEXT, NUMBERS[:20]), atol=1e-4)


@pytest.mark.parametrize(
    ("context", "candidates", "why"),
    [
        ((), ((1,),), "no token to read"),
        (CONTEXT, (), "no candidate"),
        (CONTEXT, ((1,), ()), "one without a token"),
        (CONTEXT, ((10**6,),), "outside the model's vocabulary"),
        ((1,) * MAX_TOKENS, ((1,),), "are more than"),
    ],
)
def test_what_cannot_be_read_is_said(context: tuple[int, ...], candidates: Any, why: str) -> None:
    (answer,) = scorer("gpt2", "causal_lm").ask([CandidatesRequest(context, candidates)])
    assert answer.error is not None
    assert why in answer.error


def test_weights_that_are_no_numbers_give_no_totals() -> None:
    loaded = load("gpt2", "causal_lm")
    loaded.model.get_input_embeddings().weight.data[20] = float("nan")
    (answer,) = HFScorer(loaded).ask([CandidatesRequest(CONTEXT, NUMBERS[:10])])
    assert answer.error is not None
