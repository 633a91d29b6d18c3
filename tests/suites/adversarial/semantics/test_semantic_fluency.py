"""Perplexity of single texts, against sums over the model's own log-probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.api.needs import Need
from harness.scorer.hf import HFScorer
from suites.adversarial.semantics.fluency import Perplexities
from suites.adversarial.semantics.unmeasured import Unmeasured
from tests.fakes import FakeScorer, make_info
from tests.scoring import all_logprobs, load

INFO = make_info(Need.CAUSAL_LM)


def test_it_is_the_exponent_of_the_mean_surprise_of_the_text_alone() -> None:
    loaded = load("gpt2", "causal_lm")
    scorer = HFScorer(loaded)
    texts = ["the film was good", "a story", "good"]
    expected = []
    for text in texts:
        tokens = scorer.encode(text, special=False)
        logprobs = all_logprobs(loaded.model, (scorer.start_token, *tokens))
        expected.append(math.exp(-np.mean([logprobs[at, token] for at, token in enumerate(tokens)])))
    assert Perplexities(scorer)(texts) == pytest.approx(expected, rel=1e-3)


def test_each_text_is_scored_by_itself() -> None:
    scorer = FakeScorer(INFO, logprob=lambda read, token: -1.0 * len(read))
    assert Perplexities(scorer)(["a", "a b c", "a"]) == pytest.approx([math.e, math.exp(2), math.e])


def test_every_token_of_a_long_text_counts_once() -> None:
    scorer = FakeScorer(make_info(Need.CAUSAL_LM, max_tokens=8), logprob=lambda read, token: -0.5 * (token % 3))
    text = " ".join(f"w{at}" for at in range(50))
    tokens = scorer.encode(text, special=False)
    expected = math.exp(0.5 * np.mean([token % 3 for token in tokens]))
    assert Perplexities(scorer)([text]) == [pytest.approx(expected)]


def test_tokens_of_later_windows_have_context_before_them() -> None:
    info = make_info(Need.CAUSAL_LM, max_tokens=8)
    scorer = FakeScorer(info, logprob=lambda read, token: -1.0 if len(read) < 5 else 0.0)
    text = " ".join(f"w{at}" for at in range(50))
    assert Perplexities(scorer)([text]) == [pytest.approx(math.exp(4 / 50))], "only the text's first four lack it"


def test_what_cannot_be_scored_says_why() -> None:
    found = Perplexities(FakeScorer(INFO))(["", "broken text", "fine"])
    assert found[0] == Unmeasured("the text has no tokens for the language model")
    assert found[1] == Unmeasured("the language model gives no probabilities: non-finite logits")
    assert isinstance(found[2], float)


def test_a_value_too_large_for_a_number_is_missing() -> None:
    found = Perplexities(FakeScorer(INFO, logprob=lambda read, token: -1e4))(["a"])
    assert found == [Unmeasured("the perplexity is not a finite number")]
