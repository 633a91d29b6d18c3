"""What an attack asks: a scorer without a model, whose answers come from the broker, in whichever process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api.scorer import ClassScores, Floats, Scorer, TextRequest, TokenRequest, TokenScores
from suites.adversarial.pooled.broker import Handler
from suites.adversarial.pooled.fibres import ask

if TYPE_CHECKING:
    from harness.checkpoint import CheckpointInfo

VICTIM = ("classify", "token_logprobs")
"""Methods of the scorer that attacks ask."""
ENCODER = "encoder"

LoadEncoder = Callable[[], Callable[[list[str]], Any]]
"""Loads the sentence encoder: texts to vectors [texts, width]."""


class AskingScorer:
    """Answers through the broker; what else is asked goes to `here`, the real scorer, in the process that has it."""

    def __init__(self, info: CheckpointInfo, here: Scorer | None = None) -> None:
        self.info = info
        self._here = here

    def classify(self, requests: Sequence[TextRequest]) -> list[ClassScores]:
        """Class logits of each text or pair."""
        return list(ask("classify", requests))

    def token_logprobs(self, requests: Sequence[TokenRequest]) -> list[TokenScores]:
        """Log-probabilities under a causal LM."""
        return list(ask("token_logprobs", requests))

    def __getattr__(self, name: str) -> Any:
        here = self.__dict__.get("_here")
        if here is None:
            raise AttributeError(f"{name} is not asked through the broker, and no model is in this process")
        return getattr(here, name)


def asked_vectors(texts: Sequence[str]) -> Floats:
    """Sentence vectors [texts, width], through the broker."""
    return np.stack(ask(ENCODER, texts))


def handlers(scorer: Scorer, encoder: LoadEncoder) -> Mapping[str, Handler]:
    """Who answers in the process that holds the models; the encoder is loaded when it is first asked."""
    load = cache(encoder)
    victim: dict[str, Handler] = {name: getattr(scorer, name) for name in VICTIM}
    return {**victim, ENCODER: lambda texts: list(load()(texts))}
