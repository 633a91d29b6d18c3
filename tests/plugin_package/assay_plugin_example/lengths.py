"""A complete request in one file: how many tokens a text has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.api.scorer import Request
from harness.scorer.handler import Handler


@dataclass(frozen=True, slots=True)
class LengthRequest(Request[int]):
    """Tokens of a text, special ones left out."""

    text: str


class Lengths(Handler[LengthRequest, int]):
    """Counts them; no model is run."""

    asked = (LengthRequest,)
    kind = "length"  # in counts and sentences
    needs = None  # or a Need

    def run(self, requests: Sequence[LengthRequest]) -> list[int]:
        """One number per request, in order."""
        texts = [request.text for request in requests]
        found = self.engine.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return [len(ids) for ids in found]
