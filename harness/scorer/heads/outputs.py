"""Heads that say something of a whole text other than one class: labels, numbers, whether a text follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np

from harness.api.needs import Need
from harness.api.requests.heads import (
    LabelScores,
    LabelsRequest,
    NextSentence,
    NextSentenceRequest,
    Regressed,
    RegressionRequest,
)
from harness.api.scorer import Floats
from harness.scorer.answers import NON_FINITE
from harness.scorer.forward.pooled import PooledVectors
from harness.scorer.handler import A, Handler

T = TypeVar("T", LabelsRequest, RegressionRequest, NextSentenceRequest)


class _Outputs(Handler[T, A]):
    """Batches texts through the head; an answer is made of its numbers, the tokens cut off, and what is wrong."""

    answer: Callable[..., A]

    @cached_property
    def _vectors(self) -> PooledVectors:
        return self.parts.outputs(self.kind)

    def run(self, requests: Sequence[T]) -> list[A]:
        """One answer per request, in order."""
        return self._vectors.run(
            requests,
            lambda vector, cut: self.answer(*_finite(vector, cut)),
            lambda why, cut: self.answer(np.empty(0), cut, why),
        )


class MultiLabel(_Outputs[LabelsRequest, LabelScores]):
    """A logit per label."""

    asked = (LabelsRequest,)
    kind = "labels"
    needs = Need.MULTI_LABEL

    answer = LabelScores


class Regression(_Outputs[RegressionRequest, Regressed]):
    """Numbers as the head gives them."""

    asked = (RegressionRequest,)
    kind = "regression"
    needs = Need.REGRESSION

    answer = Regressed


class FollowsOrNot(_Outputs[NextSentenceRequest, NextSentence]):
    """BERT's second task of pre-training."""

    asked = (NextSentenceRequest,)
    kind = "next_sentence"
    needs = Need.NEXT_SENTENCE

    answer = NextSentence


def _finite(vector: Floats, truncated: int) -> tuple[Floats, int, str | None]:
    """Fields of an answer: the vector, or that it is not finite."""
    return (vector, truncated, None) if np.isfinite(vector).all() else (np.empty(0), truncated, NON_FINITE)
