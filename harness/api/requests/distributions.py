"""What a language model says of all tokens at a position, told in a few numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.api.scorer import Floats, Request


@dataclass(frozen=True, slots=True)
class DistributionRequest(Request["Distributions"]):
    """The distribution that each token of `target` is drawn from, after what precedes it; needs a causal LM.

    `context` holds at least one token.
    """

    context: tuple[int, ...]
    target: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MaskedDistributionRequest(Request["Distributions"]):
    """The distribution at each of `positions` of `tokens`, each masked alone; needs a masked LM."""

    tokens: tuple[int, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Distributions:
    """Natural-log numbers of the distribution p at each position, all [positions]."""

    logprobs: Floats
    """log p of the actual token."""
    variances: Floats
    """Variance of log p(token), tokens drawn from p."""
    entropies: Floats
    """Entropy of p, in nats."""
    ranks: npt.NDArray[np.int64]
    """How many tokens are likelier than the actual one; 0: none."""
    error: str | None = None

    @property
    def means(self) -> Floats:
        """Mean of log p(token), tokens drawn from p: the entropy, negated."""
        return -self.entropies
