"""Class logits of texts and of token ids."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.needs import Need
from harness.api.scorer import ClassScores, InputRequest, TextRequest
from harness.scorer.answers import class_scores, no_classes
from harness.scorer.handler import Handler


class Classes(Handler[TextRequest | InputRequest, ClassScores]):
    """What is asked by text and by token ids shares batches."""

    asked = (TextRequest, InputRequest)
    kind = "classify"
    needs = Need.SEQUENCE_CLASSIFIER

    def run(self, requests: Sequence[TextRequest | InputRequest]) -> list[ClassScores]:
        """One answer per request, in order."""
        return self.parts.classes.run(requests, class_scores, no_classes)
