from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from harness.api.requests.beams import BeamRequest
from harness.api.scorer import GenerateRequest
from harness.scorer.generation.decoding import stop_tokens
from harness.scorer.hf import HFScorer
from tests.scoring import load, random_ids

VOCABULARY = 300


def logprobs(model: Any, ids: tuple[int, ...]) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0, -1]
    return logits.double().log_softmax(-1)


def search(model: Any, request: BeamRequest, stops: set[int]) -> tuple[int, ...]:
    """Beam search by its definition: full forward passes, no cache; scores as the request's docstring says."""
    open_beams: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    done: list[tuple[float, tuple[int, ...]]] = []
    for length in range(1, request.max_new_tokens + 1):
        grown = []
        for total, tokens in open_beams:
            values = logprobs(model, request.prompt + tokens)
            grown += [(total + float(values[at]), (*tokens, at)) for at in range(len(values))]
        grown.sort(key=lambda each: -each[0])
        for total, tokens in grown[: request.beams]:
            if tokens[-1] in stops:
                done.append((total / length**request.length_penalty, tokens[:-1]))
        open_beams = [each for each in grown if each[1][-1] not in stops][: request.beams]
    done += [(total / request.max_new_tokens**request.length_penalty, tokens) for total, tokens in open_beams]
    return max(done)[1]


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_it_is_the_definition_and_company_changes_nothing(kind: str) -> None:
    loaded = load(kind, "causal_lm")
    stops = stop_tokens(loaded.model, loaded.tokenizer)
    asked = [BeamRequest(random_ids(4 + at, at, VOCABULARY), 5, beams) for at, beams in enumerate((2, 3, 4, 2))]
    together = HFScorer(loaded).ask(asked)
    assert [answer.tokens for answer in together] == [search(loaded.model, request, stops) for request in asked]
    assert [answer for request in asked for answer in HFScorer(loaded).ask([request])] == together


def test_one_beam_is_the_greedy_continuation() -> None:
    one = HFScorer(load("gpt2", "causal_lm"))
    prompt = random_ids(6, 1, VOCABULARY)
    beam, greedy = one.ask([BeamRequest(prompt, 8, 1), GenerateRequest(prompt, 8)])
    assert beam == greedy


def test_more_beams_find_what_all_continuations_hold() -> None:
    """Two tokens, as many beams as the vocabulary: the best of all pairs."""
    loaded = load("gpt2", "causal_lm")
    prompt = random_ids(5, 2, VOCABULARY)
    first = logprobs(loaded.model, prompt)
    best = torch.topk(first, 20)
    found = {}
    for total, token in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        values = logprobs(loaded.model, (*prompt, token))
        found.update({(token, at): total + float(values[at]) for at in range(len(values))})
    stops = stop_tokens(loaded.model, loaded.tokenizer)
    allowed = {pair: score for pair, score in found.items() if not stops & set(pair)}
    (answer,) = HFScorer(loaded).ask([BeamRequest(prompt, 2, 20, length_penalty=0.0)])
    assert answer.tokens == max(allowed, key=lambda pair: allowed[pair])


def test_what_a_checkpoint_says_of_its_own_decoding_is_not_followed() -> None:
    loaded = load("gpt2", "causal_lm")
    prompt = random_ids(6, 3, VOCABULARY)
    (before,) = HFScorer(loaded).ask([BeamRequest(prompt, 6, 3)])
    loaded.model.generation_config.repetition_penalty = 9.0
    loaded.model.generation_config.no_repeat_ngram_size = 1
    try:
        (after,) = HFScorer(loaded).ask([BeamRequest(prompt, 6, 3)])
    finally:
        loaded.model.generation_config.repetition_penalty = None
        loaded.model.generation_config.no_repeat_ngram_size = None
    assert after == before


@pytest.mark.parametrize(("size", "beams", "why"), [(10_000, 2, "more than"), (3, 0, "0 beams")])
def test_what_cannot_be_continued_says_why(size: int, beams: int, why: str) -> None:
    (answer,) = HFScorer(load("gpt2", "causal_lm")).ask([BeamRequest((5, 6), size, beams)])
    assert why in (answer.error or "")


def test_weights_that_are_not_numbers_give_an_error() -> None:
    loaded = load("gpt2", "causal_lm")
    weight = next(iter(loaded.model.parameters()))
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.fill_(float("nan"))
        answers = HFScorer(loaded).ask([BeamRequest((5, 6), 3, beams) for beams in (1, 2)])
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    assert [answer.error for answer in answers] == list(itertools.repeat("non-finite logits", 2))
