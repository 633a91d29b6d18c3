from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.api.requests.likeliest import MOST, MaskedTokensRequest, NextTokensRequest, TokensInPlaceRequest
from harness.api.requests.masked_spans import MaskedSpanRequest
from harness.scorer.likelihood.likeliest import highest
from tests.scoring import ATOL, BATCHES, all_logprobs, load, random_ids, scorer

LENGTHS = (3, 17, 40, 5)


@pytest.mark.parametrize("batch", BATCHES)
def test_next_tokens_are_those_of_the_model_alone(batch: int) -> None:
    loaded = load("gpt2", "causal_lm")
    rows = [random_ids(length, length, loaded.model.config.vocab_size) for length in LENGTHS]
    answers = scorer("gpt2", "causal_lm", token_budget=batch * 8).ask([NextTokensRequest(row, 7) for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        alone = all_logprobs(loaded.model, row)[-1]
        assert answer.error is None
        assert answer.tokens == tuple(np.argsort(-alone, kind="stable")[:7])
        assert answer.logprobs == pytest.approx(np.sort(alone)[::-1][:7], abs=ATOL)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_masked_tokens_are_those_of_the_model_alone(kind: str) -> None:
    loaded, asked = load(kind, "masked_lm"), scorer(kind, "masked_lm")
    rows = [asked.encode("the good film was a joy to watch"), asked.encode("a bad story")]
    answers = asked.ask([MaskedTokensRequest(row, 2, MOST) for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        hidden = (*row[:2], loaded.tokenizer.mask_token_id, *row[3:])
        alone = all_logprobs(loaded.model, hidden)[2]
        assert len(answer.tokens) == MOST
        assert answer.logprobs == pytest.approx(np.sort(alone)[::-1][:MOST], abs=ATOL)
        assert alone[list(answer.tokens)] == pytest.approx(answer.logprobs, abs=ATOL)


@pytest.mark.parametrize("budget", [8, 4096])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_tokens_in_place_are_those_of_the_model_alone_on_the_text_as_it_is(kind: str, budget: int) -> None:
    loaded, asked = load(kind, "masked_lm"), scorer(kind, "masked_lm", token_budget=budget)
    rows = [asked.encode("the good film was a joy to watch"), asked.encode("a bad story"), asked.encode("fun")]
    size = loaded.model.config.vocab_size
    counts = (7, size + 5, 7)
    answers = asked.ask([TokensInPlaceRequest(row, (2, 0), count) for row, count in zip(rows, counts, strict=True)])
    for row, count, answer in zip(rows, counts, answers, strict=True):
        assert answer.error is None
        assert answer.tokens.shape == answer.logprobs.shape == (2, min(count, size))
        for place, tokens, logprobs in zip((2, 0), answer.tokens, answer.logprobs, strict=True):
            alone = all_logprobs(loaded.model, row)[place]
            assert logprobs == pytest.approx(np.sort(alone)[::-1][:count], abs=ATOL)
            assert alone[tokens] == pytest.approx(logprobs, abs=ATOL)


def test_what_cannot_be_asked_in_place_is_an_error_of_that_request() -> None:
    outside, none, nowhere = scorer("bert", "masked_lm").ask(
        [
            TokensInPlaceRequest((10, 11), (0, 2), 3),
            TokensInPlaceRequest((10,), (0,), 0),
            TokensInPlaceRequest((10,), (), 3),
        ]
    )
    assert outside.error == "a position lies outside the 2 tokens"
    assert none.error == "0 tokens were asked for; ask for at least 1"
    assert nowhere.error is None
    assert not len(nowhere.tokens)


@pytest.mark.parametrize("count", [0, MOST + 1])
def test_too_many_or_no_tokens_are_an_error_of_that_request(count: int) -> None:
    wrong, right = scorer("gpt2", "causal_lm").ask([NextTokensRequest((10, 11), count), NextTokensRequest((10,), 1)])
    assert wrong.error == f"{count} tokens were asked for; ask for 1 to {MOST}"
    assert right.error is None


def test_no_context_and_a_position_outside_are_errors() -> None:
    (answer,) = scorer("gpt2", "causal_lm").ask([NextTokensRequest((), 2)])
    assert answer.error is not None
    (answer2,) = scorer("bert", "masked_lm").ask([MaskedTokensRequest((10, 11), 5, 2)])
    assert answer2.error == "a position lies outside the 2 tokens"


def test_blind_positions_of_a_span_are_masked_and_not_asked_about() -> None:
    loaded, asked = load("bert", "masked_lm"), scorer("bert", "masked_lm")
    row, mask = asked.encode("the good film was a joy to watch"), load("bert", "masked_lm").tokenizer.mask_token_id
    (answer,) = asked.ask([MaskedSpanRequest(row, 1, 3, blind=(5, 6))])
    places = ((1, 2, 5, 6), (2, 5, 6))
    for at, hidden, logprob in zip((1, 2), places, answer.logprobs, strict=True):
        read = tuple(mask if place in hidden else token for place, token in enumerate(row))
        assert logprob == pytest.approx(all_logprobs(loaded.model, read)[at, row[at]], abs=ATOL)
    (answer,) = asked.ask([MaskedSpanRequest(row, 1, 2, blind=(99,))])
    assert answer.error is not None


@pytest.mark.parametrize("values", [1, 2, 3, 7, 1000, 10**9])
@pytest.mark.parametrize("shape", [(5, 300), (1, MOST), (3, 51), (2, 60)])
@pytest.mark.parametrize("masked", [0.0, 0.5, 0.9, 1.0])
def test_the_highest_are_what_a_stable_sort_begins_with_bit_for_bit(
    values: int, shape: tuple[int, int], masked: float
) -> None:
    """From all equal to all different; with none, some and all at minus infinity; both zeros are one value."""
    rng = np.random.default_rng(values)
    logits = torch.from_numpy(rng.integers(-values // 2, values, shape).astype(np.float32))
    logits[torch.from_numpy(rng.random(shape) < masked)] = -torch.inf
    logits[:, ::3] *= -1.0 if masked == 0 else 1.0
    best, tokens = logits.sort(dim=-1, descending=True, stable=True)
    for count in (1, 7, MOST):
        found, chosen = highest(logits, count)
        assert torch.equal(chosen, tokens[:, :count])
        assert found.numpy().tobytes() == best[:, :count].contiguous().numpy().tobytes()


def test_logits_that_are_no_numbers_end_nothing() -> None:
    logits = torch.full((2, 80), torch.nan)
    logits[1] = torch.arange(80.0)
    _, tokens = highest(logits, MOST)
    assert tokens[1].tolist() == list(range(79, 29, -1))
    assert tokens.max() < 80
