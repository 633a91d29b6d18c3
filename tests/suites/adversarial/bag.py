"""A white-box scorer whose best trigger can be worked out: class logits are the sum of what each word adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.api.needs import Need
from harness.api.scorer import ClassScores, Floats32, GradientRequest, InputGradient, InputRequest, Loss, TextRequest
from tests.fakes import SPECIALS, FakeScorer, make_info
from tests.scoring import Array


class Bag(FakeScorer):
    """Logits [classes] of a text are the sum over its words of `weights[word]`; unlisted words add nothing."""

    def __init__(
        self,
        weights: Mapping[str, Sequence[float]],
        labels: Sequence[str] = ("negative", "positive"),
        *,
        max_tokens: int = 64,
    ) -> None:
        super().__init__(make_info(Need.SEQUENCE_CLASSIFIER, labels=labels, max_tokens=max_tokens))
        self._table = np.zeros((len(SPECIALS) + len(weights), len(labels)))
        self._words += list(weights)
        self._table[len(SPECIALS) :] = list(weights.values())
        self.reads = 0
        self.answers[GradientRequest] = self.input_gradients

    def classify(self, requests: Sequence[TextRequest]) -> list[ClassScores]:
        broken = {index for index, request in enumerate(requests) if "broken" in request.text}
        found = self.classify_inputs(self.inputs_of(requests))
        return [
            ClassScores(np.empty(0), error="non-finite logits") if index in broken else answer
            for index, answer in enumerate(found)
        ]

    def classify_inputs(self, requests: Sequence[InputRequest]) -> list[ClassScores]:
        self.reads += len(requests)
        return [ClassScores(self._logits(request)) for request in requests]

    @property
    def why_no_gradients(self) -> str | None:
        return None

    def input_embeddings(self) -> Floats32:
        return self._table.astype(np.float32)

    def input_gradients(self, requests: Sequence[GradientRequest]) -> list[InputGradient]:
        self.reads += len(requests)
        return [self._gradient(request) for request in requests]

    def _gradient(self, request: GradientRequest) -> InputGradient:
        assert isinstance(request.input, InputRequest)
        logits = self._logits(request.input)
        p = np.exp(logits - np.logaddexp.reduce(logits))
        own = np.eye(len(p))[request.label]
        by_logits = p - own
        if request.loss is Loss.OF_OTHERS:
            by_logits = p - p * (1 - own) / (1 - p[request.label])
        places = request.positions or range(len(request.input.tokens))
        return InputGradient(request.input, np.tile(by_logits, (len(places), 1)).astype(np.float32), 0.0, logits)

    def _logits(self, request: InputRequest) -> Array:
        known = [token for token in request.tokens if token < len(self._table)]
        return np.asarray(self._table[known].sum(axis=0))
