"""The likeliest tokens at one place, of a masked or a causal language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from harness.api.requests.likeliest import MOST, LikelyTokens, MaskedTokensRequest, NextTokensRequest
from harness.scorer.answers import NON_FINITE
from harness.scorer.forward.positions import Columns, Wanted
from harness.scorer.likelihood.causal import CausalPositions
from harness.scorer.likelihood.masked import MaskedPositions


class NextTokens(CausalPositions[NextTokensRequest, LikelyTokens]):
    """After a context."""

    asked = (NextTokensRequest,)
    kind = "next_tokens"

    def run(self, requests: Sequence[NextTokensRequest]) -> list[LikelyTokens]:
        """One answer per request, in order."""
        return _cut(super().run(requests), requests)

    def measure(self, inputs: dict[str, Any], wanted: Wanted) -> Columns:
        """`MOST` tokens, then their log-probabilities."""
        return self.parts.head.read(inputs, wanted, _likeliest)

    def answer(self, columns: Columns) -> LikelyTokens:
        """All of them."""
        return _answer(columns)

    def nothing(self, why: str | None = None) -> LikelyTokens:
        """No tokens."""
        return _nothing(why)


class MaskedTokens(MaskedPositions[MaskedTokensRequest, LikelyTokens]):
    """Behind a mask."""

    asked = (MaskedTokensRequest,)
    kind = "masked_tokens"

    def run(self, requests: Sequence[MaskedTokensRequest]) -> list[LikelyTokens]:
        """One answer per request, in order."""
        return _cut(super().run(requests), requests)

    def measure(self, inputs: dict[str, Any], wanted: Wanted) -> Columns:
        """`MOST` tokens, then their log-probabilities."""
        return self.parts.head.read(inputs, wanted, _likeliest)

    def answer(self, columns: Columns) -> LikelyTokens:
        """All of them."""
        return _answer(columns)

    def nothing(self, why: str | None = None) -> LikelyTokens:
        """No tokens."""
        return _nothing(why)


def _likeliest(logits: torch.Tensor, at: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Columns of tokens and of log-probabilities, from float32 logits [places, vocabulary], for each entry's place."""
    best, tokens = highest(logits, min(MOST, logits.shape[-1]))
    logprobs = (best - logits.logsumexp(-1, keepdim=True))[at]
    return (*tokens[at].unbind(1), *logprobs.unbind(1))


def highest(logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `count` largest of each row [rows, vocabulary] and their tokens, the lower token first among equals.

    What a stable sort of the whole row begins with, without one; among logits that are no numbers any tokens.
    """
    least = logits.topk(count).values[:, -1:]  # which of those equal to the least it takes is not defined
    above, equal = logits > least, logits == least
    room = count - above.sum(1, keepdim=True)
    chosen = above | (equal & (equal.cumsum(1, dtype=torch.int32) <= room))
    size = logits.shape[-1]
    places = torch.arange(size, device=logits.device, dtype=torch.int32)
    tokens = torch.where(chosen, places, size).topk(count, largest=False, sorted=True).values
    tokens = tokens.clamp(max=size - 1).long()
    best, order = logits.gather(1, tokens).sort(dim=-1, descending=True, stable=True)
    return best, tokens.gather(1, order)


def _answer(columns: Columns) -> LikelyTokens:
    half = len(columns) // 2
    logprobs = np.array([float(column[0]) for column in columns[half:]], dtype=np.float64)
    if not np.isfinite(logprobs[:1]).all() or np.isnan(logprobs).any():
        return _nothing(NON_FINITE)
    return LikelyTokens(tuple(int(column[0]) for column in columns[:half]), logprobs)


def _cut(
    answers: Sequence[LikelyTokens], requests: Sequence[NextTokensRequest | MaskedTokensRequest]
) -> list[LikelyTokens]:
    """As many tokens as each request asked for."""
    return [
        _nothing(f"{request.count} tokens were asked for; ask for 1 to {MOST}")
        if not 1 <= request.count <= MOST
        else LikelyTokens(answer.tokens[: request.count], answer.logprobs[: request.count], answer.error)
        for answer, request in zip(answers, requests, strict=True)
    ]


def _nothing(why: str | None) -> LikelyTokens:
    return LikelyTokens((), np.empty(0), why)
