"""A Scorer without a model: every probability is a function the test gives, so every metric has a known answer."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.api.case import Case
from harness.api.metrics import Metric
from harness.api.needs import Need
from harness.api.probe import Plan, Probe
from harness.api.scorer import (
    A,
    ClassScores,
    Counts,
    Floats,
    Floats32,
    GradientRequest,
    InputRequest,
    MaskedRequest,
    Request,
    Scorer,
    TextRequest,
    TokenRequest,
    TokenScores,
)
from harness.checkpoint import CheckpointInfo, CheckpointSource, Fingerprint
from harness.data.datasets import Dataset, DataSource, frame_digest
from harness.errors import UsageError
from harness.record.rows import RowStore

START, CLS, SEP, MASK = 0, 1, 2, 3
AT_ONCE = 16
SPECIALS = ("[start]", "[cls]", "[sep]", "[mask]")

LogProb = Callable[[tuple[int, ...], int], float]
"""log p(token) given what is read: the tokens before it, or all tokens with it masked."""
Classify = Callable[[TextRequest], Sequence[float]]
"""Class probabilities of a text."""


def made_up_logprob(read: tuple[int, ...], token: int) -> float:
    """Arbitrary but fixed: between -6 and -0.1, different for nearly every input."""
    return -0.1 - 5.9 * zlib.crc32(repr((read, token)).encode()) / 2**32


def made_up_classes(request: TextRequest) -> Sequence[float]:
    """Arbitrary but fixed probabilities of two classes."""
    p = zlib.crc32(repr((request.text, request.pair)).encode()) / 2**32
    return (1 - p, p)


def make_info(
    *offers: Need, labels: Sequence[str] = ("negative", "positive"), max_tokens: int = 64, source: str = "fake"
) -> CheckpointInfo:
    """What is known of a made-up checkpoint."""
    return CheckpointInfo(
        source=CheckpointSource(source=source),
        path=Path(source),
        architecture="Fake",
        model_type="fake",
        offers=frozenset(offers),
        labels=tuple(labels) if Need.SEQUENCE_CLASSIFIER in offers else (),
        max_tokens=max_tokens,
        parameters=0,
        fingerprint=Fingerprint("0", "0", "0", "0"),
    )


class FakeScorer:
    """Tokens are lower-cased words, numbered as they come; a text with `broken` in it has no usable answer."""

    device = "cpu"

    def __init__(
        self, info: CheckpointInfo, *, classify: Classify = made_up_classes, logprob: LogProb = made_up_logprob
    ) -> None:
        self._info = info
        self._classify = classify
        self._logprob = logprob
        self._counts = Counts()
        self._words: list[str] = [*SPECIALS]
        self.calls: list[int] = []
        """Requests in each call so far."""
        self.answers: dict[type[Any], Callable[[Any], Sequence[Any]]] = {
            TextRequest: lambda asked: self.classify(asked),
            InputRequest: lambda asked: self.classify_inputs(asked),
            TokenRequest: lambda asked: self.token_logprobs(asked),
            MaskedRequest: lambda asked: self.pseudo_log_likelihood(asked),
        }
        """Who answers each type of request."""

    @property
    def info(self) -> CheckpointInfo:
        return self._info

    @property
    def counts(self) -> Counts:
        return self._counts

    @property
    def max_tokens(self) -> int:
        return self._info.max_tokens

    @property
    def start_token(self) -> int:
        return START

    def encode(self, text: str, *, special: bool = True) -> tuple[int, ...]:
        words = text.lower().split()
        self._words += [word for word in dict.fromkeys(words) if word not in self._words]
        tokens = tuple(self._words.index(word) for word in words)
        return (CLS, *tokens, SEP) if special and Need.CAUSAL_LM not in self._info.offers else tokens

    def encode_all(self, texts: Sequence[str], *, special: bool = True) -> list[tuple[int, ...]]:
        return [self.encode(text, special=special) for text in texts]

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join(self._words[token] for token in tokens)

    def special_positions(self, tokens: Sequence[int]) -> tuple[bool, ...]:
        return tuple(token < len(SPECIALS) for token in tokens)

    def ask(self, requests: Sequence[Request[A]]) -> list[A]:
        """By the method that answers the type; `answers` holds those of a test's own."""
        found: dict[int, A] = {}
        for asked in dict.fromkeys(map(type, requests)):
            chosen = [index for index, request in enumerate(requests) if type(request) is asked]
            if asked is GradientRequest and self.why_no_gradients is not None:
                raise UsageError(self.why_no_gradients)
            answered = self.answers[asked]([requests[index] for index in chosen])
            found.update(zip(chosen, answered, strict=True))
        return [found[index] for index in range(len(requests))]

    def classify(self, requests: Sequence[TextRequest]) -> list[ClassScores]:
        self._take(Need.SEQUENCE_CLASSIFIER, len(requests))
        return [
            ClassScores(np.empty(0), error="non-finite logits")
            if "broken" in request.text
            else ClassScores(
                np.log(np.array(self._classify(request), dtype=np.float64)), truncated="long" in request.text
            )
            for request in requests
        ]

    def inputs_of(self, requests: Sequence[TextRequest]) -> list[InputRequest]:
        texts = [f"{request.text} {request.pair or ''}" for request in requests]
        return [InputRequest(self.encode(text)[: self.max_tokens]) for text in texts]

    def classify_inputs(self, requests: Sequence[InputRequest]) -> list[ClassScores]:
        """Of the tokens' words; special tokens are not read."""
        words = [[token for token in request.tokens if token >= len(SPECIALS)] for request in requests]
        return self.classify([TextRequest(self.decode(tokens)) for tokens in words])

    @property
    def why_no_gradients(self) -> str | None:
        return "the fake gives no gradients"

    def input_embeddings(self) -> Floats32:
        raise UsageError(self.why_no_gradients)

    def token_logprobs(self, requests: Sequence[TokenRequest]) -> list[TokenScores]:
        self._take(Need.CAUSAL_LM, len(requests))
        return [
            self._scores(
                (*request.context, *request.target),
                [((*request.context, *request.target[:i]), token) for i, token in enumerate(request.target)],
                len(request.context) + len(request.target) - 1,
            )
            for request in requests
        ]

    def pseudo_log_likelihood(self, requests: Sequence[MaskedRequest]) -> list[TokenScores]:
        self._take(Need.MASKED_LM, len(requests))
        return [
            self._scores(
                request.tokens,
                [((*request.tokens[:i], MASK, *request.tokens[i + 1 :]), request.tokens[i]) for i in request.positions],
                len(request.tokens),
            )
            for request in requests
        ]

    def _scores(self, tokens: Sequence[int], asked: Sequence[tuple[tuple[int, ...], int]], length: int) -> TokenScores:
        if length > self.max_tokens:
            return TokenScores(np.empty(0), np.empty(0, dtype=np.bool_), f"{length} tokens are too many")
        if "broken" in self.decode(tokens):
            return TokenScores(np.empty(0), np.empty(0, dtype=np.bool_), "non-finite logits")
        values: Floats = np.array([self._logprob(read, token) for read, token in asked], dtype=np.float64)
        return TokenScores(values, np.zeros(len(values), dtype=np.bool_))

    def _take(self, need: Need, requests: int) -> None:
        if need not in self._info.offers:
            raise UsageError(f"the fake offers no {need}")
        self.calls.append(requests)


def dataset(frame: pd.DataFrame, source: DataSource | None = None) -> Dataset:
    """A dataset of the frame's rows, as if read from 'test.csv', whose labels count from 0 where they are numbers."""
    return Dataset(frame, source or DataSource(source="test.csv"), frame_digest(frame), frozenset({"0"}))


def plan(info: CheckpointInfo, **data: Dataset | pd.DataFrame) -> Plan:
    """A plan over datasets by input name."""
    return Plan(
        info, 0, {name: dataset(value) if isinstance(value, pd.DataFrame) else value for name, value in data.items()}
    )


def rows_of(probe: Probe[Any], scorer: Scorer, cases: Sequence[Case], folder: Path) -> pd.DataFrame:
    """Rows as an audit reads them back: run in several calls, checked against the schema, through parquet."""
    store = RowStore(folder, probe.name, probe.Row)
    for start in range(0, len(cases), AT_ONCE):
        store.append(probe.run(scorer, cases[start : start + AT_ONCE]))
    return store.read()


def by_key(metrics: Sequence[Metric]) -> dict[tuple[str, str], Metric]:
    """Metrics by key and slice; fails where two share both."""
    found = {(metric.key, metric.slice): metric for metric in metrics}
    assert len(found) == len(metrics)
    return found


def values(metrics: Sequence[Metric]) -> dict[str, float | None]:
    """Values of the metrics over all rows, by key."""
    return {metric.key: metric.value for metric in metrics if not metric.slice}
