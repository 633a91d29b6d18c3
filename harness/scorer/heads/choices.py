"""Multiple-choice heads: a number for each answer to a question, which the model reads alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from harness.api.needs import Need
from harness.api.requests.heads import ChoiceRequest, ChoiceScore
from harness.scorer.answers import NON_FINITE
from harness.scorer.forward.pooled import PooledVectors, Vectors
from harness.scorer.handler import Handler


def choice_logits(model: Any) -> Vectors:
    """Logits [rows, 1] of the rows, each given to the model as a question with one answer."""

    def logits(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        found: torch.Tensor = model(**{name: tensor[:, None] for name, tensor in inputs.items()}).logits
        return found

    return logits


class Choices(Handler[ChoiceRequest, ChoiceScore]):
    """Batches answers of all questions through the head; each is a row of its own, as the head makes of them."""

    asked = (ChoiceRequest,)
    kind = "choice"
    needs = Need.MULTIPLE_CHOICE

    @cached_property
    def _vectors(self) -> PooledVectors:
        model, pad = self.parts.poolable
        return PooledVectors(self.engine, self.kind, choice_logits(model), pad)

    def run(self, requests: Sequence[ChoiceRequest]) -> list[ChoiceScore]:
        """One answer per request, in order."""
        return self._vectors.run(
            requests,
            lambda vector, cut: ChoiceScore(float(vector[0]), cut, None if np.isfinite(vector[0]) else NON_FINITE),
            lambda why, cut: ChoiceScore(float("nan"), cut, why),
        )
