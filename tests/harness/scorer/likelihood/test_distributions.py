"""Numbers of the predictive distribution against the whole of it in float64, and how little of it is held at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harness.api.requests.distributions import DistributionRequest, Distributions, MaskedDistributionRequest
from harness.api.scorer import MaskedRequest, TokenRequest
from harness.scorer.hf import HFScorer
from harness.scorer.likelihood.distributions import described
from tests.scoring import ATOL, BATCHES, Array, all_logprobs, load, random_ids, scorer
from tests.tiny import MAX_TOKENS

VOCABULARY = 300
LONGEST = 30


def by_hand(logprobs: Array, token: int) -> tuple[float, float, float, int]:
    """log p, the mean and variance of log p under p, and the rank, summed over the vocabulary."""
    p = np.exp(logprobs)
    mean = float((p * logprobs).sum())
    return (
        float(logprobs[token]),
        mean,
        float((p * logprobs**2).sum() - mean**2),
        int((logprobs > logprobs[token]).sum()),
    )


def check(answer: Distributions, expected: list[tuple[float, float, float, int]]) -> None:
    assert answer.error is None
    logprobs, means, variances, ranks = zip(*expected, strict=True)
    np.testing.assert_allclose(answer.logprobs, logprobs, atol=ATOL, rtol=0)
    np.testing.assert_allclose(answer.means, means, atol=ATOL, rtol=0)
    np.testing.assert_allclose(answer.entropies, [-mean for mean in means], atol=ATOL, rtol=0)
    np.testing.assert_allclose(answer.variances, variances, atol=10 * ATOL, rtol=0)
    assert answer.ranks.tolist() == list(ranks)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "opt"])
def test_causal_ones_equal_the_whole_distribution_at_any_batch_size(kind: str) -> None:
    loaded = load(kind, "causal_lm")
    shapes = np.random.default_rng(5).integers(1, LONGEST // 2, (24, 2))
    asked = [
        DistributionRequest(random_ids(context, at, VOCABULARY), random_ids(target, 99 + at, VOCABULARY))
        for at, (context, target) in enumerate(shapes)
    ]
    expected = []
    for request in asked:
        ids = request.context + request.target
        full = all_logprobs(loaded.model, ids)
        expected.append([by_hand(full[at - 1], ids[at]) for at in range(len(request.context), len(ids))])
    for batch in BATCHES:
        answers = HFScorer(loaded, token_budget=batch * LONGEST).ask(asked)
        for answer, numbers in zip(answers, expected, strict=True):
            check(answer, numbers)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_masked_ones_equal_the_whole_distribution_at_any_batch_size(kind: str) -> None:
    loaded = load(kind, "masked_lm")
    mask = loaded.tokenizer.mask_token_id
    asked = [
        MaskedDistributionRequest(random_ids(length, length, 150), tuple(range(length - 1, 0, -3)))
        for length in (2, 5, 9, 17, 30)
    ]
    expected = []
    for request in asked:
        copies = [(*request.tokens[:at], mask, *request.tokens[at + 1 :]) for at in request.positions]
        expected.append(
            [
                by_hand(all_logprobs(loaded.model, ids)[at], request.tokens[at])
                for ids, at in zip(copies, request.positions, strict=True)
            ]
        )
    for batch in BATCHES:
        answers = HFScorer(loaded, token_budget=batch * LONGEST).ask(asked)
        for answer, numbers in zip(answers, expected, strict=True):
            check(answer, numbers)


def test_log_probabilities_are_those_of_the_plain_requests() -> None:
    context, target = random_ids(5, 1, VOCABULARY), random_ids(9, 2, VOCABULARY)
    one = scorer("gpt2", "causal_lm")
    (told,) = one.ask([DistributionRequest(context, target)])
    (plain,) = one.ask([TokenRequest(context, target)])
    np.testing.assert_allclose(told.logprobs, plain.logprobs, atol=1e-6, rtol=0)
    assert ((told.ranks == 0) == plain.greedy).all()
    encoder, tokens = scorer("bert", "masked_lm"), random_ids(9, 2, 150)
    (masked,) = encoder.ask([MaskedDistributionRequest(tokens, (1, 4))])
    (scores,) = encoder.ask([MaskedRequest(tokens, (1, 4))])
    np.testing.assert_allclose(masked.logprobs, scores.logprobs, atol=1e-6, rtol=0)


def test_tokens_that_are_impossible_weigh_nothing() -> None:
    logits = torch.tensor([[0.0, 1.0, float("-inf"), 2.0]])
    logprob, variance, entropy, rank = described(logits, torch.tensor([0, 0]), torch.tensor([1, 3]))
    rest = torch.log_softmax(torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64), -1).numpy()
    for at, token in enumerate((1, 2)):
        own, mean, spread, place = by_hand(rest, token)
        assert float(logprob[at]) == pytest.approx(own, abs=1e-6)
        assert float(entropy[at]) == pytest.approx(-mean, abs=1e-6)
        assert float(variance[at]) == pytest.approx(spread, abs=1e-6)
        assert int(rank[at]) == place


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Numbers in the largest tensor that any operation gave."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        every = made if isinstance(made, tuple | list) else [made]
        self.numbers = max([self.numbers, *(one.numel() for one in every if isinstance(one, torch.Tensor))])
        return made


def test_the_whole_distribution_is_never_held() -> None:
    loaded = load("gpt2", "causal_lm")
    vocabulary, chunk, rows, length = loaded.model.config.vocab_size, 8, 16, 64
    one = HFScorer(loaded, token_budget=rows * MAX_TOKENS)
    one._parts.head._chunk = chunk
    asked = [DistributionRequest(random_ids(1, at, VOCABULARY), random_ids(length, at + 1, 300)) for at in range(rows)]
    one.ask(asked[:1])
    with Largest() as largest:
        one.ask(asked)
    with Largest() as trunk, torch.no_grad():
        loaded.model.base_model(input_ids=torch.ones(rows, length, dtype=torch.long), use_cache=False)
    bound = max(chunk * vocabulary, trunk.numbers)
    assert rows * length * vocabulary > 4 * bound, "the bound says something"
    assert largest.numbers <= bound


def test_errors_are_of_their_own_request() -> None:
    good = DistributionRequest((20,), (21,))
    empty, none, long, fine = scorer("gpt2", "causal_lm").ask(
        [
            DistributionRequest((), (21,)),
            DistributionRequest((20,), ()),
            DistributionRequest(random_ids(100, 1, VOCABULARY), random_ids(100, 1, VOCABULARY)),
            good,
        ]
    )
    assert "the context is empty" in str(empty.error)
    assert none.error is None
    assert len(none.ranks) == 0
    assert "199 tokens are more than the 128" in str(long.error)
    assert fine.error is None
    outside, inside = scorer("bert", "masked_lm").ask(
        [
            MaskedDistributionRequest((2, 20, 3), (3,)),
            MaskedDistributionRequest((2, 20, 3), (1,)),
        ]
    )
    assert outside.error == "a position lies outside the 3 tokens"
    assert inside.error is None
    loaded = load("gpt2", "causal_lm")
    with torch.no_grad():
        loaded.model.transformer.wpe.weight[0] = float("nan")
    (bad,) = HFScorer(loaded).ask([good])
    assert bad.error == "non-finite logits"
