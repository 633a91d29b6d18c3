"""The chance of a target under temperature, top-k and top-p: a chunk of positions at a time, never all logits at once.

The filters are those of `harness.scorer.generation.filters`, for many positions together and in torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from harness.api.needs import Need
from harness.api.requests.chances import SequenceChanceRequest, SequenceChances
from harness.api.requests.sampling import SampleRequest
from harness.scorer.answers import NON_FINITE
from harness.scorer.forward.positions import Columns, Wanted
from harness.scorer.generation.filters import refuse_settings
from harness.scorer.handler import Handler, Parts
from harness.scorer.likelihood.causal import CausalPositions

Settings = tuple[float, int, float]
"""temperature, top_k, top_p"""


class Chances(Handler[SequenceChanceRequest, SequenceChances]):
    """Requests of the same settings share forward passes."""

    asked = (SequenceChanceRequest,)
    kind = "sequence_chances"
    needs = Need.CAUSAL_LM

    def run(self, requests: Sequence[SequenceChanceRequest]) -> list[SequenceChances]:
        """One answer per request, in order."""
        groups: dict[Settings, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault((request.temperature, request.top_k, request.top_p), []).append(index)
        answers: dict[int, SequenceChances] = {}
        for settings, mine in groups.items():
            why = _refuse(settings)
            found = (
                [_nothing(why)] * len(mine)
                if why
                else _Filtered(self.parts, settings).run([requests[index] for index in mine])
            )
            answers.update(zip(mine, found, strict=True))
        return [answers[index] for index in range(len(requests))]


class _Filtered(CausalPositions[SequenceChanceRequest, SequenceChances]):
    """Those of one way of sampling."""

    asked = (SequenceChanceRequest,)
    kind = Chances.kind

    def __init__(self, parts: Parts, settings: Settings) -> None:
        super().__init__(parts)
        self._settings = settings

    def measure(self, inputs: dict[str, Any], wanted: Wanted) -> Columns:
        """Log-chance and log-probability."""

        def read(logits: torch.Tensor, at: torch.Tensor, token: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return log_chances(logits, at, token, *self._settings), logits[at, token] - logits.logsumexp(-1)[at]

        return self.parts.head.read(inputs, wanted, read)

    def answer(self, columns: Columns) -> SequenceChances:
        """The numbers, or that the logits were not finite."""
        chances, logprobs = (np.asarray(column, dtype=np.float64) for column in columns)
        if np.isnan(chances).any() or not np.isfinite(logprobs).all():
            return _nothing(NON_FINITE)
        return SequenceChances(chances, logprobs)

    def nothing(self, why: str | None = None) -> SequenceChances:
        """No positions."""
        return _nothing(why)


def log_chances(
    logits: torch.Tensor, at: torch.Tensor, token: torch.Tensor, temperature: float, top_k: int, top_p: float
) -> torch.Tensor:
    """Log-chance of each entry's token, float64 [entries], from float32 logits [places, vocabulary].

    Equal to the logarithm of `generation.filters.distribution`: in float64 as there, since equals of the last token
    that top-k keeps are kept, and rounding makes equals.
    """
    if logits.device.type == "mps":  # has no float64
        logits, at, token = logits.cpu(), at.cpu(), token.cpu()
    if 0 < top_k < logits.shape[-1] and top_p == 1.0:
        return _of_likeliest(logits, at, token, temperature, top_k)
    scores = logits.double() / temperature
    if 0 < top_k < scores.shape[-1]:
        least = scores.topk(top_k, sorted=False).values.min(-1, keepdim=True).values
        scores = scores.masked_fill(scores < least, float("-inf"))
    if top_p < 1.0:
        ordered, order = scores.sort(dim=-1, stable=True)
        out = ordered.softmax(-1).cumsum(-1) <= 1 - top_p
        out[..., -1] = False
        scores = scores.masked_fill(torch.zeros_like(out).scatter(-1, order, out), float("-inf"))
    return scores[at, token] - scores.logsumexp(-1)[at]


def _of_likeliest(
    logits: torch.Tensor, at: torch.Tensor, token: torch.Tensor, temperature: float, top_k: int
) -> torch.Tensor:
    """The same under top-k alone: only what is kept becomes float64, a fraction of a vocabulary."""
    kept = logits.topk(top_k, sorted=False).values
    least = kept.min(-1, keepdim=True).values
    more = (logits == least).sum(-1) - (kept == least).sum(-1)  # equals of the least that top-k left out
    whole = (kept.double() / temperature).logsumexp(-1)
    whole = torch.logaddexp(whole, more.double().log() + least[:, 0].double() / temperature)
    own = logits[at, token]
    return (own.double() / temperature - whole[at]).masked_fill(own < least[at, 0], float("-inf"))


def _refuse(settings: Settings) -> str | None:
    temperature, top_k, top_p = settings
    return refuse_settings(SampleRequest((), 1, 0, temperature=temperature, top_k=top_k, top_p=top_p))


def _nothing(why: str | None = None) -> SequenceChances:
    return SequenceChances(np.empty(0), np.empty(0), why)
