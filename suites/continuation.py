"""Scores of a continuation after a text, both tokenised as one text: what a reader would see is what is scored."""

from __future__ import annotations

from harness.api.scorer import Scorer, TokenRequest
from suites.framing import opening, start_or_none, without_start


def answer_request(scorer: Scorer, lead: tuple[int, ...], prompt: str, answer: str, separator: str) -> TokenRequest:
    """The answer's tokens after the prompt's, `lead` before them.

    Both are tokenised as one text, with `separator` between them unless either has white space there. Context is what
    that has in common, at its start, with the prompt tokenised alone, and target the rest: where a token reaches from
    the prompt into the answer (a blank at the prompt's end, writing without blanks) it belongs to the answer. A start
    token that the prompt begins with is context, once.
    """
    gap = "" if prompt[-1:].isspace() or answer[:1].isspace() else separator
    alone, whole = (scorer.encode(text, special=False) for text in (prompt, prompt + gap + answer))
    start = start_or_none(scorer)
    if start is not None and whole[:1] == (start,):
        lead, alone, whole = (start,), without_start(alone, start), without_start(whole, start)
    common = next((at for at, pair in enumerate(zip(alone, whole, strict=False)) if pair[0] != pair[1]), None)
    common = min(len(alone), len(whole)) if common is None else common
    first = () if start is None else (start,)
    return TokenRequest((*lead, *whole[:common]) or first, whole[common:])


def lead_tokens(scorer: Scorer) -> tuple[int, ...]:
    """The start token, where the tokenizer itself puts it before a text."""
    return opening(scorer, "a")[0]


def within(request: TokenRequest, most: int) -> tuple[TokenRequest, int]:
    """The request with its context cut from the left so that the model reads at most `most` tokens; how many went.

    One token of context stays: where the target alone is too long the scorer says so.
    """
    cut = max(0, len(request.context) + len(request.target) - 1 - most)
    cut = min(cut, len(request.context) - 1)
    return TokenRequest(request.context[cut:], request.target), cut
