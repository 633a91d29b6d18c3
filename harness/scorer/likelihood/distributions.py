"""Moments of log p under p itself, entropy and rank: a chunk of positions at a time, never all logits at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from harness.api.requests.distributions import DistributionRequest, Distributions, MaskedDistributionRequest
from harness.scorer.answers import NON_FINITE
from harness.scorer.forward.positions import Columns, Wanted
from harness.scorer.likelihood.causal import CausalPositions
from harness.scorer.likelihood.masked import MaskedPositions


class CausalDistributions(CausalPositions[DistributionRequest, Distributions]):
    """What a causal LM expected at each target token."""

    asked = (DistributionRequest,)
    kind = "distributions"

    def measure(self, inputs: dict[str, Any], wanted: Wanted) -> Columns:
        """The numbers of `Distributions`."""
        return self.parts.head.read(inputs, wanted, described)

    def answer(self, columns: Columns) -> Distributions:
        """The numbers, or that they are not finite."""
        return _answer(columns)

    def nothing(self, why: str | None = None) -> Distributions:
        """No positions."""
        return _nothing(why)


class MaskedDistributions(MaskedPositions[MaskedDistributionRequest, Distributions]):
    """What a masked LM expected at each masked position."""

    asked = (MaskedDistributionRequest,)
    kind = "masked_distributions"

    def measure(self, inputs: dict[str, Any], wanted: Wanted) -> Columns:
        """The numbers of `Distributions`."""
        return self.parts.head.read(inputs, wanted, described)

    def answer(self, columns: Columns) -> Distributions:
        """The numbers, or that they are not finite."""
        return _answer(columns)

    def nothing(self, why: str | None = None) -> Distributions:
        """No positions."""
        return _nothing(why)


def described(logits: torch.Tensor, at: torch.Tensor, token: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Columns of `Distributions` from float32 logits [places, vocabulary], for each entry's place and token."""
    logprobs = logits.log_softmax(-1)
    own = logprobs[at, token]
    each = len(logits)  # entries at once, for a place may have many
    pieces = zip(torch.split(at, each), torch.split(token, each), strict=True)
    ranks = torch.cat([(logits[place] > logits[place, mine][:, None]).sum(-1) for place, mine in pieces])
    chances = logprobs.exp()
    logprobs = logprobs.masked_fill(logprobs == float("-inf"), 0.0)  # impossible tokens weigh nothing, not 0 * inf
    entropies = -(chances * logprobs).sum(-1)
    variances = (chances * (logprobs + entropies[:, None]).square()).sum(-1)
    return own, variances[at], entropies[at], ranks


def _answer(columns: Columns) -> Distributions:
    logprobs, variances, entropies = (np.asarray(column, dtype=np.float64) for column in columns[:3])
    if not all(np.isfinite(column).all() for column in (logprobs, variances, entropies)):
        return _nothing(NON_FINITE)
    return Distributions(logprobs, variances, entropies, np.asarray(columns[3], dtype=np.int64))


def _nothing(why: str | None) -> Distributions:
    none = np.empty(0)
    return Distributions(none, none, none, np.empty(0, dtype=np.int64), why)
