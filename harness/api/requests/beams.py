"""The likeliest continuation that beam search finds."""

from __future__ import annotations

from dataclasses import dataclass

from harness.api.scorer import Generation, Request


@dataclass(frozen=True, slots=True)
class BeamRequest(Request[Generation]):
    """`prompt` continued by at most `max_new_tokens` tokens, with `beams` hypotheses at once; needs a causal LM.

    A finished hypothesis scores its log-probability over its length to the power of `length_penalty` (1: the mean per
    token; 0: the sum). The search goes on until no open hypothesis can become better.
    """

    prompt: tuple[int, ...]
    max_new_tokens: int
    beams: int
    length_penalty: float = 1.0
