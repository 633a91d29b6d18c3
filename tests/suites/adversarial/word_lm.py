"""Causal LMs whose answers are known: one over words that a test gives probabilities, and tiny random ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from harness.api.needs import Need
from harness.api.scorer import TokenRequest, TokenScores
from harness.scorer.hf import HFScorer
from tests.fakes import SPECIALS, FakeScorer, make_info
from tests.scoring import all_logprobs
from tests.scoring import scorer as tiny_scorer
from tests.tiny import _WORDS

CAUSAL = make_info(Need.CAUSAL_LM)
Likely = Callable[[list[str], str], float]
"""The probability of a word after words."""


class WordLM(FakeScorer):
    """Tokens are lower-cased words; one of probability above 1/2 is the argmax, another is not."""

    def __init__(self, likely: Likely, *, max_tokens: int = 64) -> None:
        def logprob(read: tuple[int, ...], token: int) -> float:
            words = [self._words[at] for at in read if at >= len(SPECIALS)]
            return float(np.log(likely(words, self._words[token])))

        super().__init__(make_info(Need.CAUSAL_LM, max_tokens=max_tokens), logprob=logprob)
        self.read: list[TokenRequest] = []
        """Requests so far."""

    def token_logprobs(self, requests: Sequence[TokenRequest]) -> list[TokenScores]:
        self.read += requests
        answers = super().token_logprobs(requests)
        return [TokenScores(one.logprobs, one.logprobs > np.log(0.5), one.error) for one in answers]


def likes_good(words: list[str], word: str) -> float:
    """Yes after a prompt with 'good' in it."""
    return 0.9 if (word == "yes") == ("good" in words) else 0.1


@cache
def tiny_lm(kind: str) -> HFScorer:
    """A random causal LM of this kind."""
    return tiny_scorer(kind, "causal_lm")


@cache
def known_prompts(kind: str, count: int, before: str = "") -> tuple[tuple[str, str], ...]:
    """Prompts of five to nine words, and the one word the tiny LM goes on with after `before` and them."""
    scorer, rng = tiny_lm(kind), np.random.default_rng(0)
    found: list[tuple[str, str]] = []
    while len(found) < count:
        prompt = " ".join(rng.choice(_WORDS, rng.integers(5, 10)))
        (best,) = all_logprobs(scorer._engine.model, scorer.encode(before + prompt))[-1:].argmax(1)
        word = scorer.decode([int(best)])
        if word[:1] == " " and word[1:] in _WORDS:
            found.append((prompt, word[1:]))
    return tuple(found)
