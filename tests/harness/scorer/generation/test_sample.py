"""Sampling: the filtered distributions of transformers, drawn from exactly, each sample by its seed alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from harness.api.requests.sampling import Ending, SampleRequest
from harness.api.scorer import GenerateRequest
from harness.scorer.generation.filters import distribution, draw, uniform
from harness.scorer.hf import HFScorer
from tests.scoring import BATCHES, load, random_ids, scorer
from tests.tiny import MAX_TOKENS

VOCABULARY = 300
LONGEST = 30
PROMPT = random_ids(6, 1, VOCABULARY)
SETTINGS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.3},
    {"temperature": 2.5, "top_k": 7},
    {"top_p": 0.6},
    {"top_p": 1e-9},
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.5, "temperature": 0.8, "top_k": 40, "top_p": 0.8},
]


def theirs(logits: torch.Tensor, request: SampleRequest, seen: tuple[int, ...]) -> Any:
    """Probabilities by transformers' own processors, in float64, [vocabulary]."""
    steps = LogitsProcessorList()
    if request.repetition_penalty != 1:
        steps.append(RepetitionPenaltyLogitsProcessor(request.repetition_penalty))
    if request.temperature != 1:
        steps.append(TemperatureLogitsWarper(request.temperature))
    if request.top_k:
        steps.append(TopKLogitsWarper(request.top_k))
    if request.top_p < 1:
        steps.append(TopPLogitsWarper(request.top_p))
    return torch.softmax(steps(torch.tensor([seen]), logits.double()[None])[0], -1).numpy()


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("seed", range(4))
def test_filters_equal_those_of_transformers(settings: dict[str, Any], seed: int) -> None:
    logits = 3 * torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(seed))
    logits[5] = logits[7]  # equals at a cut are kept together
    request = SampleRequest(PROMPT, 1, seed=0, **settings)
    expected = theirs(logits, request, PROMPT)
    found = distribution(logits.double().numpy(), request, PROMPT)
    assert ((found > 0) == (expected > 0)).all()
    np.testing.assert_allclose(found, expected, atol=1e-12, rtol=0)


def test_a_draw_is_the_inverse_of_the_distribution() -> None:
    chances = np.array([0.0, 0.25, 0.0, 0.5, 0.25, 0.0])
    assert [draw(chances, at) for at in (0.0, 0.2499, 0.25, 0.7499, 0.75, 1 - 2**-53)] == [1, 1, 3, 3, 4, 4]


def test_the_numbers_are_uniform_and_all_different() -> None:
    drawn = np.array(
        [uniform(seed, sample, at) for seed in (0, 1, 2**63, -1) for sample in range(10) for at in range(100)]
    )
    assert len(set(drawn)) == len(drawn)
    assert chisquare(np.histogram(drawn, 20, (0, 1))[0]).pvalue > 0.001
    assert uniform(3, 1, 2) == uniform(3, 1, 2)


def test_frequencies_are_those_of_the_model() -> None:
    loaded = load("gpt2", "causal_lm")
    request = SampleRequest(PROMPT, 1, seed=11, samples=3000, temperature=1.3, top_k=8)
    with torch.no_grad():
        expected = theirs(loaded.model(input_ids=torch.tensor([PROMPT])).logits[0, -1], request, PROMPT)
    (answer,) = HFScorer(loaded).ask([request])
    kept = np.flatnonzero(expected)
    counts = np.bincount([sample.tokens[0] for sample in answer.samples], minlength=len(expected))
    assert counts.sum() == counts[kept].sum() == 3000
    assert chisquare(counts[kept], 3000 * expected[kept]).pvalue > 0.001


def one_at_a_time(model: Any, request: SampleRequest, number: int, stops: set[int]) -> tuple[int, ...]:
    """A full forward pass per token, transformers' filters, and the sum over token ids written out."""
    ids = list(request.prompt)
    for at in range(request.max_new_tokens):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0, -1]
        left = uniform(request.seed, number, at)
        for token, chance in enumerate(theirs(logits, request, tuple(ids))):  # noqa: B007
            left -= chance
            if left < 0:
                break
        if token in stops:
            break
        ids.append(token)
    return tuple(ids[len(request.prompt) :])


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_equals_one_at_a_time_at_any_batch_size_and_order(kind: str) -> None:
    loaded = load(kind, "causal_lm")
    stops = {loaded.tokenizer.eos_token_id}
    asked = [
        SampleRequest(random_ids(3 + 2 * at, at, VOCABULARY), 6 if at % 3 else 3, seed=at, samples=2, **settings)
        for at, settings in enumerate(SETTINGS)
    ]
    expected = [[one_at_a_time(loaded.model, request, n, stops) for n in range(2)] for request in asked]
    assert len({tokens for pair in expected for tokens in pair}) > len(asked)
    for batch in BATCHES:
        answers = HFScorer(loaded, token_budget=batch * LONGEST).ask(asked[::-1])[::-1]
        assert [[sample.tokens for sample in answer.samples] for answer in answers] == expected


def test_a_sample_does_not_hang_on_how_many_there_are() -> None:
    few = SampleRequest(PROMPT, 5, seed=4, samples=2)
    many, other, alone = scorer("gpt2", "causal_lm").ask([replace(few, samples=9), replace(few, seed=5), few])
    assert many.samples[:2] == alone.samples
    assert other.samples != alone.samples


def test_a_temperature_near_zero_is_greedy() -> None:
    one = scorer("gpt2", "causal_lm")
    (cold,) = one.ask([SampleRequest(PROMPT, 6, seed=1, temperature=1e-6)])
    (greedy,) = one.ask([GenerateRequest(PROMPT, 6)])
    assert cold.samples[0].tokens == greedy.tokens
    assert one.counts_of("sample").tokens == one.counts_of("generate").tokens


def test_a_stop_string_ends_a_sample_and_is_left_out() -> None:
    one = scorer("gpt2", "causal_lm")
    (free,) = one.ask([SampleRequest(PROMPT, 10, seed=2)])
    whole = free.samples[0]
    assert whole.ending is Ending.LENGTH
    stop = one.decode(whole.tokens[3:5])  # over the edge of two tokens
    at = whole.text.find(stop)
    stopped, both = one.ask([SampleRequest(PROMPT, 10, seed=2, stop=stop_) for stop_ in ((stop,), ("never", stop))])
    (sample,) = stopped.samples
    assert sample.ending is Ending.STOP
    assert sample.text == whole.text[:at]
    assert sample.tokens == whole.tokens[: len(sample.tokens)]
    assert stop in one.decode(sample.tokens)
    assert stop not in one.decode(sample.tokens[:-1])
    assert both == stopped


def test_the_end_of_sequence_ends_a_sample() -> None:
    loaded = load("gpt2", "causal_lm")
    (free,) = HFScorer(loaded).ask([SampleRequest(PROMPT, 8, seed=3)])
    tokens = free.samples[0].tokens
    loaded.model.config.eos_token_id = tokens[4]
    (ended,) = HFScorer(loaded).ask([SampleRequest(PROMPT, 8, seed=3)])
    assert ended.samples[0].tokens == tokens[: tokens.index(tokens[4])]
    assert ended.samples[0].ending is Ending.END_OF_SEQUENCE


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"temperature": 0.0}, "temperature of 0.0 is not above 0"),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"repetition_penalty": -1.0}, "repetition penalty of -1.0"),
        ({"stop": ("",)}, "stop string is empty"),
        ({"samples": 0}, "0 samples were asked for"),
        ({"max_new_tokens": 0}, "0 new tokens were asked for"),
        ({"max_new_tokens": MAX_TOKENS}, "more than the 128 the model reads at once"),
        ({"prompt": ()}, "there is no token to read"),
    ],
)
def test_what_cannot_be_sampled_is_an_error_of_its_own_request(settings: dict[str, Any], why: str) -> None:
    good = SampleRequest(PROMPT, 2, seed=0)
    bad, fine = scorer("gpt2", "causal_lm").ask([replace(good, **settings), good])
    assert bad.samples == ()
    assert why in str(bad.error)
    assert fine.error is None
    assert len(fine.samples[0].tokens) == 2


def test_logits_that_are_not_finite_are_an_error_of_their_own_row() -> None:
    loaded = load("gpt2", "causal_lm")
    with torch.no_grad():
        loaded.model.transformer.wte.weight[PROMPT[0]] = float("nan")
        loaded.model.lm_head.weight = torch.nn.Parameter(loaded.model.lm_head.weight.nan_to_num(0.0))
    bad, good = HFScorer(loaded).ask([SampleRequest(PROMPT, 3, seed=0), SampleRequest(PROMPT[1:], 3, seed=0)])
    assert bad.error == "non-finite logits"
    assert good.error is None
    assert len(good.samples) == 1
