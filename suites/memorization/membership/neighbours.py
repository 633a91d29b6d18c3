"""Neighbours of a text: the same tokens, a few of them exchanged, so that no other model is needed to make one.

After Mattern et al. 2023, arXiv 2305.18462, whose neighbours have words that a masked model proposes. Exchanged tokens
read worse than proposed ones, for members and for others alike: what is compared is how much worse.
"""

from __future__ import annotations

from random import Random

from harness.api.requests.distributions import DistributionRequest, MaskedDistributionRequest
from harness.api.scorer import MaskedRequest, TokenRequest
from suites.framing import Ids

_EXCHANGED = 0.05
"""Of the tokens, in pairs. The paper replaces a word of a text; of a text of 40 tokens this is one pair."""


def neighbour(
    asked: DistributionRequest | MaskedDistributionRequest, own: tuple[int, int], random: Random
) -> TokenRequest | MaskedRequest:
    """The question about a text, of its neighbour instead. `own`: where a masked model's tokens are the text's."""
    if isinstance(asked, DistributionRequest):
        return TokenRequest(asked.context, exchanged(asked.target, random))
    start, end = own
    inner = exchanged(asked.tokens[start:end], random)
    return MaskedRequest((*asked.tokens[:start], *inner, *asked.tokens[end:]), asked.positions)


def exchanged(tokens: Ids, random: Random) -> Ids:
    """With a few pairs of different tokens in each other's place; as it is where all tokens are the same."""
    found = list(tokens)
    for _ in range(max(1, round(_EXCHANGED * len(found) / 2))):
        first = random.randrange(len(found))
        others = [place for place, token in enumerate(found) if token != found[first]]
        if not others:
            break
        second = random.choice(others)
        found[first], found[second] = found[second], found[first]
    return tuple(found)
