"""Heads that say something of a whole text other than one class: labels, numbers, whether a text follows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

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
from harness.scorer.handler import A, Handler, R
from harness.scorer.pooled import PooledVectors


class _Outputs(Handler[R, A]):
    """Batches texts through the head."""

    @cached_property
    def _vectors(self) -> PooledVectors:
        return self.parts.outputs(self.kind)


class MultiLabel(_Outputs[LabelsRequest, LabelScores]):
    """A logit per label."""

    asked = (LabelsRequest,)
    kind = "labels"
    needs = Need.MULTI_LABEL

    def run(self, requests: Sequence[LabelsRequest]) -> list[LabelScores]:
        """One answer per request, in order."""
        return self._vectors.run(
            requests,
            lambda logits, cut: LabelScores(*_finite(logits, cut)),
            lambda why, cut: LabelScores(np.empty(0), cut, why),
        )


class Regression(_Outputs[RegressionRequest, Regressed]):
    """Numbers as the head gives them."""

    asked = (RegressionRequest,)
    kind = "regression"
    needs = Need.REGRESSION

    def run(self, requests: Sequence[RegressionRequest]) -> list[Regressed]:
        """One answer per request, in order."""
        return self._vectors.run(
            requests,
            lambda values, cut: Regressed(*_finite(values, cut)),
            lambda why, cut: Regressed(np.empty(0), cut, why),
        )


class FollowsOrNot(_Outputs[NextSentenceRequest, NextSentence]):
    """BERT's second task of pre-training."""

    asked = (NextSentenceRequest,)
    kind = "next_sentence"
    needs = Need.NEXT_SENTENCE

    def run(self, requests: Sequence[NextSentenceRequest]) -> list[NextSentence]:
        """One answer per request, in order."""
        return self._vectors.run(
            requests,
            lambda logits, cut: NextSentence(*_finite(logits, cut)),
            lambda why, cut: NextSentence(np.empty(0), cut, why),
        )


def _finite(vector: Floats, truncated: int) -> tuple[Floats, int, str | None]:
    """Fields of an answer: the vector, or that it is not finite."""
    return (vector, truncated, None) if np.isfinite(vector).all() else (np.empty(0), truncated, NON_FINITE)
