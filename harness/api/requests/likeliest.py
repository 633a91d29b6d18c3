"""The tokens that a language model holds likeliest at one place, or at several of a text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.api.scorer import Floats, Floats32, Request

MOST = 50
"""Tokens that can be asked for at one place."""


@dataclass(frozen=True, slots=True)
class NextTokensRequest(Request["LikelyTokens"]):
    """The `count` (up to `MOST`) likeliest tokens after `context`, at least one token; needs a causal LM."""

    context: tuple[int, ...]
    count: int

    @property
    def target(self) -> tuple[int, ...]:
        """Some token: only the place where it would stand is read."""
        return (0,)


@dataclass(frozen=True, slots=True)
class MaskedTokensRequest(Request["LikelyTokens"]):
    """The `count` likeliest tokens, at most `MOST`, at `position` of `tokens`, which is masked; needs a masked LM."""

    tokens: tuple[int, ...]
    position: int
    count: int

    @property
    def positions(self) -> tuple[int, ...]:
        """The one position."""
        return (self.position,)


@dataclass(frozen=True, slots=True)
class LikelyTokens:
    """Tokens [count], the likeliest first, the lower id among equals; and their natural-log probabilities [count]."""

    tokens: tuple[int, ...]
    logprobs: Floats
    error: str | None = None


@dataclass(frozen=True, slots=True)
class TokensInPlaceRequest(Request["TokensInPlace"]):
    """The `count` likeliest tokens (all there are, at most) at each of `positions` of `tokens`; needs a masked LM.

    Nothing is hidden but where `tokens` holds the mask token itself: elsewhere the model reads what it is asked about.
    """

    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    count: int


@dataclass(frozen=True, slots=True)
class TokensInPlace:
    """Tokens and their natural-log probabilities, each [positions, count], ordered as those of `LikelyTokens`."""

    tokens: npt.NDArray[np.int32]
    logprobs: Floats32
    error: str | None = None
