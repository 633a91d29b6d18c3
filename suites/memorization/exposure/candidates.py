"""What a model says of the secrets that could stand in a canary's place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from harness.api.requests.candidates import CandidatesRequest
from harness.api.scorer import Floats, MaskedRequest, Scorer
from privacy.canaries.canary import Canary
from suites.framing import Ids, masked_frame, opening, openings


def causal_totals(scorer: Scorer, canary: Canary, secrets: Sequence[str]) -> Floats | str:
    """Sum of log-probabilities of each secret's tokens after what the canary begins with, [secrets]; or why not.

    All are read after the same tokens: those that begin every one of the texts.
    """
    known = canary.text[: len(canary.text) - len(canary.secret or "")]
    lead, tokens = openings(scorer, [known + secret for secret in secrets])
    shared = _in_common([*tokens, opening(scorer, known)[1]])
    if not lead and shared == 0:
        return "nothing stands before the secret that a model could read it after; give the canaries a prefix"
    shared = min(shared, min(map(len, tokens)) - 1)
    context: Ids = (*lead, *tokens[0][:shared])
    if not context:
        return "the tokenizer joins the secret with all that stands before it; give the canaries a longer prefix"
    (answer,) = scorer.ask([CandidatesRequest(context, tuple(own[shared:] for own in tokens))])
    return answer.error if answer.error is not None else answer.totals


def _in_common(rows: Sequence[Ids]) -> int:
    """Tokens that every row begins with."""
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*rows, strict=False)))


def masked_totals(scorer: Scorer, canary: Canary, secrets: Sequence[str]) -> Floats | str:
    """Pseudo-log-likelihoods of the secrets (Salazar et al. 2020): each token masked alone, [secrets]; or why not."""
    known = canary.text[: len(canary.text) - len(canary.secret or "")]
    start = len(masked_frame(scorer, known).tokens)
    requests = []
    for secret in secrets:
        framed = masked_frame(scorer, known + secret)
        first = len(framed.before) + min(start, len(framed.tokens) - 1)
        if len(framed.whole) > scorer.max_tokens:
            return f"the model reads {scorer.max_tokens} tokens, the canary has {len(framed.whole)}"
        requests.append(MaskedRequest(framed.whole, tuple(range(first, len(framed.before) + len(framed.tokens)))))
    answers = scorer.ask(requests)
    why = next((answer.error for answer in answers if answer.error), None)
    return why if why is not None else np.array([float(answer.logprobs.sum()) for answer in answers])
