"""From logits to the distribution that is sampled, in float64, and the numbers that draw from it.

Each filter does what transformers' processor of its name does to one row; they are applied in transformers' order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.requests.sampling import SampleRequest
from harness.api.scorer import Floats


def distribution(logits: Floats, request: SampleRequest, seen: Sequence[int]) -> Floats:
    """Probabilities of the next token, [vocabulary], after the tokens `seen` (prompt and sample so far)."""
    scores = np.array(logits, dtype=np.float64)
    if request.repetition_penalty != 1.0:
        tokens = np.unique(np.asarray(seen, dtype=np.int64))
        old = scores[tokens]
        scores[tokens] = np.where(old < 0, old * request.repetition_penalty, old / request.repetition_penalty)
    scores /= request.temperature
    if 0 < request.top_k < len(scores):
        least = np.partition(scores, -request.top_k)[-request.top_k]
        scores[scores < least] = -np.inf  # equals of the least stay, as in transformers
    if request.top_p < 1.0:
        order = np.argsort(scores, kind="stable")
        below = np.cumsum(_softmax(scores)[order])
        out = below <= 1 - request.top_p
        out[-1] = False
        scores[order[out]] = -np.inf
    return _softmax(scores)


def draw(probabilities: Floats, uniform: float) -> int:
    """The token where the cumulated probabilities pass `uniform` in [0, 1).

    Cumulated in the order of token ids: by size, two tokens nearly as likely would change places with the rounding of a
    batch, and all between them with it.
    """
    sums = np.cumsum(probabilities)
    token = int(np.searchsorted(sums, uniform * sums[-1], side="right"))
    return min(token, int(np.flatnonzero(probabilities)[-1]))


def uniform(seed: int, sample: int, position: int) -> float:
    """In [0, 1): the number of this seed, sample and new token's position, by Philox (Salmon et al. 2011)."""
    key, counter = np.array([seed % 2**64, sample], dtype=np.uint64), np.array([0, 0, 0, position], dtype=np.uint64)
    return float(np.random.Generator(np.random.Philox(key=key, counter=counter)).random())


def refuse_settings(request: SampleRequest) -> str | None:
    """Why nothing can be sampled so; transformers' own bounds."""
    if not (np.isfinite(request.temperature) and request.temperature > 0):
        return f"a temperature of {request.temperature} is not above 0; ask a GenerateRequest for the likeliest tokens"
    if request.top_k < 0:
        return f"top_k is {request.top_k}; give a number of tokens, or 0 for all"
    if not 0 < request.top_p <= 1:
        return f"top_p is {request.top_p}; give a probability above 0 and at most 1"
    if not (np.isfinite(request.repetition_penalty) and request.repetition_penalty > 0):
        return f"a repetition penalty of {request.repetition_penalty} is not above 0; 1 changes nothing"
    if "" in request.stop:
        return "a stop string is empty, so every text holds it; leave it out"
    if request.samples < 1:
        return f"{request.samples} samples were asked for; ask for at least 1"
    return None


def _softmax(scores: Floats) -> Floats:
    shifted = np.exp(scores - scores.max())
    return np.asarray(shifted / shifted.sum(), dtype=np.float64)
