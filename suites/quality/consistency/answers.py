"""Probabilities of a model's answers to a text: a classifier's classes, or a causal model's choices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.needs import Need
from harness.api.scorer import ClassScores, Scorer, TextRequest, TokenRequest
from suites.continuation import answer_request, lead_tokens, within

Text = tuple[str, str | None]
"""What is read: a text, and its pair where it has one."""


def answered(scorer: Scorer, texts: Sequence[Text], choices: Sequence[str]) -> list[ClassScores]:
    """Scores of each text's answers; without `choices` by the classifier's head.

    Of a causal model the logit of a choice is the sum of its tokens' log-probabilities after the text, so that the
    choices are compared as whole answers.
    """
    if Need.CAUSAL_LM not in scorer.info.offers:
        return scorer.ask([TextRequest(text, pair) for text, pair in texts])
    lead = lead_tokens(scorer)
    asked = [
        within(answer_request(scorer, lead, text, choice, " "), scorer.max_tokens)
        for text, _ in texts
        for choice in choices
    ]
    found = scorer.ask([request for request, _ in asked])
    each: list[tuple[str | None, float]] = [
        ("the tokenizer makes no token of a choice" if not request.target else one.error, float(one.logprobs.sum()))
        for (request, _), one in zip(asked, found, strict=True)
    ]
    rows = [slice(start, start + len(choices)) for start in range(0, len(each), len(choices))]
    return [_together(each[row], max(cut for _, cut in asked[row]), _are_different(asked[row])) for row in rows]


def _are_different(asked: Sequence[tuple[TokenRequest, int]]) -> bool:
    """Whether the tokenizer tells all choices apart; of two that are the same the first would always win."""
    return len({request for request, _ in asked}) == len(asked)


def _together(choices: Sequence[tuple[str | None, float]], cut: int, are_different: bool) -> ClassScores:
    errors = [error for error, _ in choices if error]
    if not are_different:
        errors.append("the tokenizer makes the same tokens of two choices")
    if errors:
        return ClassScores(np.empty(0), error=errors[0])
    return ClassScores(np.array([score for _, score in choices], dtype=np.float64), truncated=cut)
