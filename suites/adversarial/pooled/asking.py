"""What an attack asks: a scorer without a model, whose answers come from the broker, in whichever process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api.requests.likeliest import TokensInPlace, TokensInPlaceRequest
from harness.api.scorer import A, Floats, Request, Scorer
from suites.adversarial.pooled.broker import Handler
from suites.adversarial.pooled.fibres import ask

if TYPE_CHECKING:
    from harness.checkpoint import CheckpointInfo

VICTIM = "victim"
"""The channel of the scorer, whatever is asked of it."""
ENCODER = "encoder"
MASKED_LM = "masked lm"
"""The channel of the scorer that proposes words."""

LoadEncoder = Callable[[], Callable[[list[str]], Any]]
"""Loads the sentence encoder: texts to vectors [texts, width]."""


class AskingScorer:
    """Answers through the broker; what else is asked goes to `here`, the real scorer, in the process that has it."""

    def __init__(self, info: CheckpointInfo, here: Scorer | None = None) -> None:
        self.info = info
        self._here = here

    def ask(self, requests: Sequence[Request[A]]) -> list[A]:
        """Answers in the order asked; those too heavy to be kept or sent come from the scorer here."""
        if any(request.heavy for request in requests):
            return self._real("an answer so large").ask(requests)
        return list(ask(VICTIM, requests))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(name), name)

    def _real(self, asked: str) -> Scorer:
        here: Scorer | None = self.__dict__.get("_here")
        if here is None:
            raise AttributeError(f"{asked} is not asked through the broker, and no model is in this process")
        return here


def asked_vectors(texts: Sequence[str]) -> Floats:
    """Sentence vectors [texts, width], through the broker."""
    return np.stack(ask(ENCODER, texts))


def asked_words(requests: Sequence[TokensInPlaceRequest]) -> Sequence[TokensInPlace]:
    """What the masked language model proposes, through the broker."""
    return ask(MASKED_LM, requests)


def handlers(scorer: Scorer, encoder: LoadEncoder, masked_lm: Scorer | None = None) -> Mapping[str, Handler]:
    """Who answers in the process that holds the models; the encoder is loaded when it is first asked."""
    load = cache(encoder)
    answering: dict[str, Handler] = {VICTIM: scorer.ask, ENCODER: lambda texts: list(load()(texts))}
    return answering if masked_lm is None else {**answering, MASKED_LM: masked_lm.ask}
