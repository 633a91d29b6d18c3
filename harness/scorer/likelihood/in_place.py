"""The likeliest tokens at several places of a text, which is read as it is, of a masked language model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from harness.api.needs import Need
from harness.api.requests.likeliest import TokensInPlace, TokensInPlaceRequest
from harness.scorer.answers import NON_FINITE
from harness.scorer.forward.engine import Side
from harness.scorer.forward.positions import Ints
from harness.scorer.handler import Handler, Parts
from harness.scorer.likelihood.likeliest import highest


class TokensAsRead(Handler[TokensInPlaceRequest, TokensInPlace]):
    """At places of texts of which nothing is hidden here; texts that are asked for as many tokens share batches."""

    asked = (TokensInPlaceRequest,)
    kind = "tokens_in_place"
    needs = Need.MASKED_LM

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._side = parts.states.side

    def run(self, requests: Sequence[TokensInPlaceRequest]) -> list[TokensInPlace]:
        """One answer per request, in order."""
        answers = {index: _none(why) for index, request in enumerate(requests) if (why := self._refuse(request))}
        answers |= {index: _none() for index, request in enumerate(requests) if not request.positions}
        alike: dict[int, list[int]] = {}
        for index, request in enumerate(requests):
            if index not in answers:
                alike.setdefault(min(request.count, self.engine.vocabulary), []).append(index)
        for count, chosen in alike.items():
            answers.update(zip(chosen, self._answers([requests[index] for index in chosen], count), strict=True))
        return [answers[index] for index in range(len(requests))]

    def _refuse(self, request: TokensInPlaceRequest) -> str | None:
        if request.count < 1:
            return f"{request.count} tokens were asked for; ask for at least 1"
        if not all(0 <= position < len(request.tokens) for position in request.positions):
            return f"a position lies outside the {len(request.tokens)} tokens"
        return self.engine.refuse(request.tokens)

    def _answers(self, requests: Sequence[TokensInPlaceRequest], count: int) -> list[TokensInPlace]:
        lengths = [len(request.tokens) for request in requests]
        found: dict[int, TokensInPlace] = {}

        def work(batch: list[int]) -> list[TokensInPlace]:
            return self._read([requests[row] for row in batch], count)

        for batch, answers in self.engine.forwards(self.kind, lengths, work, side=self._side, side_by_side=True):
            again = [_none(self.engine.too_big(lengths[batch[0]]))] if answers is None else answers
            found.update(zip(batch, again, strict=True))
        return [found[row] for row in range(len(requests))]

    def _read(self, requests: Sequence[TokensInPlaceRequest], count: int) -> list[TokensInPlace]:
        rows = [request.tokens for request in requests]
        ids = self.engine.padded(rows, self.engine.pad, self._side)
        inputs = {"input_ids": ids, "attention_mask": self.engine.mask(rows, self._side)}
        width = int(ids.shape[1])
        before = [width - len(row) if self._side is Side.LEFT else 0 for row in rows]
        starts = np.cumsum([0, *(len(request.positions) for request in requests)])
        places: Ints = np.array(
            [
                row * width + before[row] + position
                for row, request in enumerate(requests)
                for position in request.positions
            ]
        )
        best, tokens = _best_of(self.parts.head.chunks(inputs, places), count)
        return [_in_place(tokens[start:end], best[start:end]) for start, end in pairwise(starts)]


def _best_of(chunks: Iterable[torch.Tensor], count: int) -> tuple[Any, Any]:
    """Log-probabilities, float32, and tokens, int32, both [places, count] in the host's memory."""
    parts = []
    for logits in chunks:
        best, tokens = highest(logits, count)
        parts.append((best - logits.logsumexp(-1, keepdim=True), tokens.int()))
    logprobs, tokens_of_all = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
    return logprobs, tokens_of_all


def _in_place(tokens: Any, logprobs: Any) -> TokensInPlace:
    if not np.isfinite(logprobs[:, 0]).all() or np.isnan(logprobs).any():
        return _none(NON_FINITE)
    return TokensInPlace(tokens, logprobs)


def _none(why: str | None = None) -> TokensInPlace:
    return TokensInPlace(np.empty((0, 0), np.int32), np.empty((0, 0), np.float32), why)
