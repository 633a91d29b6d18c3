"""One number per record that a model gives: larger where it knows the record. The same for target and shadows."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from harness.api.scorer import Floats, MaskedRequest, Request, Scorer, TextRequest, TokenRequest
from suites.framing import masked_frame, opening
from suites.memorization.canary_scores import log_odds
from suites.memorization.shadows.pool import Pool

POSITIONS = 16
"""Tokens of a record that a masked model is asked about; each is a forward pass of its own."""


def signals(scorer: Scorer, task: str, pool: Pool) -> Floats:
    """Log odds of the own class, or the mean log-probability of a token, [records]; NaN where there is none."""
    if task == "classification":
        answers = scorer.ask([TextRequest(text, pair) for text, pair in zip(pool.texts, pool.pairs, strict=True)])
        pairs = zip(answers, pool.labels, strict=True)
        return np.array([np.nan if answer.error else log_odds(answer.logits, label) for answer, label in pairs])
    asked = [(_masked if task == "masked_lm" else _causal)(scorer, text) for text in pool.texts]
    found = iter(scorer.ask([request for request in asked if request is not None]))
    values = []
    for request in asked:
        answer = None if request is None else next(found)
        bad = answer is None or answer.error or not len(answer.logprobs)
        values.append(np.nan if bad or answer is None else float(np.mean(answer.logprobs)))
    return np.array(values)


def _causal(scorer: Scorer, text: str) -> Request[Any] | None:
    lead, tokens = opening(scorer, text)
    tokens = tokens[: scorer.max_tokens - len(lead)]
    context = lead or tokens[:1]
    target = tokens if lead else tokens[1:]
    return TokenRequest(context, target) if target else None


def _masked(scorer: Scorer, text: str) -> Request[Any] | None:
    """At places that the text itself decides, so that every model is asked the same."""
    framed = masked_frame(scorer, text)
    room = scorer.max_tokens - len(framed.before) - len(framed.after)
    tokens = framed.tokens[:room]
    if not tokens:
        return None
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]))
    places = np.sort(rng.permutation(len(tokens))[:POSITIONS]) + len(framed.before)
    return MaskedRequest(framed.before + tokens + framed.after, tuple(int(place) for place in places))
