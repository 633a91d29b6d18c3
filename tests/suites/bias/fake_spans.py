"""Masked spans under a fake scorer, position by position, as the request says them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from harness.api.requests.masked_spans import MaskedSpanRequest
from harness.api.scorer import TokenScores
from tests.fakes import MASK, FakeScorer


def spans(fake: FakeScorer) -> Callable[[Sequence[MaskedSpanRequest]], list[TokenScores]]:
    """What answers them."""

    def answer(requests: Sequence[MaskedSpanRequest]) -> list[TokenScores]:
        found = []
        for request in requests:
            asked = []
            for slot, position in enumerate(range(request.start, request.end)):
                hidden = {*range(request.start if request.together else request.start + slot, request.end)}
                hidden |= set(request.blind)
                read = tuple(MASK if i in hidden else token for i, token in enumerate(request.tokens))
                asked.append((read, request.tokens[position]))
            if "broken" in fake.decode(request.tokens):
                found.append(TokenScores(np.empty(0), np.empty(0, dtype=np.bool_), "non-finite logits"))
                continue
            values = np.array([fake._logprob(read, token) for read, token in asked])
            found.append(TokenScores(values, np.zeros(len(values), dtype=np.bool_)))
        return found

    return answer
