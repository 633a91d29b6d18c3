"""Chances of a target against the per-row filters, against simulation, and how little is held at once."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.api.requests.chances import SequenceChanceRequest
from harness.api.requests.sampling import SampleRequest
from harness.api.scorer import TokenRequest
from harness.scorer.generation.filters import distribution
from harness.scorer.hf import HFScorer
from harness.scorer.likelihood.chances import log_chances
from tests.scoring import ATOL, BATCHES, all_logprobs, load, random_ids, scorer

VOCABULARY = 300
SETTINGS = [
    (1.0, 0, 1.0),
    (1.0, 40, 1.0),
    (0.7, 5, 1.0),
    (1.3, 0, 0.9),
    (0.9, 20, 0.5),
    (1.0, 1, 1.0),
    (2.0, 9999, 0.01),
]


@pytest.mark.parametrize(("temperature", "top_k", "top_p"), SETTINGS)
def test_they_are_the_filters_of_sampling(temperature: float, top_k: int, top_p: float) -> None:
    rng = np.random.default_rng(0)
    logits = np.round(rng.normal(size=(20, 60)) * 3, 0 if top_k else 2).astype(np.float32)  # rounded: many equals
    at, token = np.repeat(np.arange(20), 60), np.tile(np.arange(60), 20)
    request = SampleRequest((1,), 1, 0, temperature=temperature, top_k=top_k, top_p=top_p)
    expected = np.concatenate([distribution(row.astype(np.float64), request, ()) for row in logits])
    found = log_chances(
        torch.from_numpy(logits), torch.from_numpy(at), torch.from_numpy(token), temperature, top_k, top_p
    ).exp()
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12, rtol=0)
    assert ((found.numpy() == 0) == (expected == 0)).all()


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_equal_those_of_the_whole_distribution_at_any_batch_size(kind: str) -> None:
    loaded = load(kind, "causal_lm")
    shapes = np.random.default_rng(5).integers(1, 15, (12, 2))
    asked = [
        SequenceChanceRequest(
            random_ids(context, at, VOCABULARY), random_ids(target, 99 + at, VOCABULARY), *SETTINGS[at % 3]
        )
        for at, (context, target) in enumerate(shapes)
    ]
    for batch in BATCHES:
        answers = HFScorer(loaded, token_budget=batch * 30).ask(asked)
        for request, answer in zip(asked, answers, strict=True):
            ids = request.context + request.target
            full = all_logprobs(loaded.model, ids)
            sample = SampleRequest((1,), 1, 0, temperature=request.temperature, top_k=request.top_k)
            chances = [distribution(full[at - 1], sample, ())[ids[at]] for at in range(len(request.context), len(ids))]
            assert answer.error is None
            np.testing.assert_allclose(np.exp(answer.chances), chances, atol=ATOL, rtol=0)
            assert answer.chance == pytest.approx(math.prod(chances), rel=1e-3, abs=1e-12)


def test_a_chance_is_how_often_samples_are_the_target() -> None:
    one, context, draws = scorer("gpt2", "causal_lm"), random_ids(4, 1, VOCABULARY), 3000
    request = SampleRequest(context, 2, seed=3, samples=draws, temperature=0.1, top_k=3)
    (answer,) = one.ask([request])
    drawn = [sample.tokens for sample in answer.samples if len(sample.tokens) == 2]
    targets = sorted(set(drawn))
    assert len(targets) > 1
    chances = one.ask([SequenceChanceRequest(context, target, 0.1, 3) for target in targets])
    for target, found in zip(targets, chances, strict=True):
        spread = math.sqrt(found.chance * (1 - found.chance) / draws)
        assert abs(drawn.count(target) / draws - found.chance) <= 4.5 * spread + 1e-9
    assert sum(found.chance for found in chances) == pytest.approx(1, abs=0.02)


def test_without_filters_they_are_plain_probabilities() -> None:
    context, target = random_ids(5, 1, VOCABULARY), random_ids(9, 2, VOCABULARY)
    one = scorer("gpt2", "causal_lm")
    (told,) = one.ask([SequenceChanceRequest(context, target)])
    (filtered,) = one.ask([SequenceChanceRequest(context, target, top_k=2)])
    (plain,) = one.ask([TokenRequest(context, target)])
    np.testing.assert_allclose(told.chances, plain.logprobs, atol=1e-6, rtol=0)
    np.testing.assert_array_equal(told.logprobs, plain.logprobs)
    np.testing.assert_allclose(filtered.logprobs, plain.logprobs, atol=1e-6, rtol=0)
    assert np.isneginf(filtered.chances).any()
    assert filtered.chance == 0


def test_errors_are_of_their_own_request() -> None:
    good = SequenceChanceRequest((20,), (21,))
    answers = scorer("gpt2", "causal_lm").ask(
        [
            replace(good, context=()),
            replace(good, temperature=0.0),
            replace(good, top_k=-1),
            replace(good, top_p=0.0),
            replace(good, target=()),
            good,
        ]
    )
    errors = [str(answer.error) for answer in answers]
    assert "the context is empty" in errors[0]
    assert "temperature of 0.0 is not above 0" in errors[1]
    assert "top_k is -1" in errors[2]
    assert "top_p is 0.0" in errors[3]
    assert errors[4:] == ["None", "None"]
    assert answers[4].chance == 1  # of nothing
    loaded = load("gpt2", "causal_lm")
    with torch.no_grad():
        loaded.model.transformer.wpe.weight[0] = float("nan")
    (bad,) = HFScorer(loaded).ask([good])
    assert bad.error == "non-finite logits"
