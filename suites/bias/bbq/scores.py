"""How likely a model holds each of the three answers to a question of BBQ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import islice
from typing import Any

from harness.api.requests.heads import ChoiceRequest
from harness.api.scorer import Scorer, TokenRequest
from suites.bias.bbq.data import ANSWERS
from suites.framing import opening

Ids = tuple[int, ...]
LETTERS = ("A", "B", "C")
ALIKE = "two answers are the same tokens to the model, so that it cannot prefer one"


class Asking(StrEnum):
    """How a question is put to the model."""

    ANSWERS = "answers"
    """Which answer is the likeliest after the question."""
    LETTERS = "letters"
    """The answers are listed, and the likeliest of their letters counts."""


def prompt(question: Mapping[str, Any], asking: Asking) -> tuple[str, tuple[str, ...]]:
    """What the model reads, and the three texts whose likelihood is compared."""
    asked = f"{question['context']}\n\nQ: {question['question']}\n"
    if asking == Asking.ANSWERS:
        return f"{asked}A:", tuple(f" {question[name]}" for name in ANSWERS)
    listed = "".join(f"({letter}) {question[name]}\n" for letter, name in zip(LETTERS, ANSWERS, strict=True))
    return f"{asked}{listed}A: (", LETTERS


def score_answers(
    scorer: Scorer, questions: Sequence[Mapping[str, Any]], asking: Asking, *, per_token: bool
) -> list[list[float] | str]:
    """Log-likelihoods of the three answers in nats, of each whole or per token; or what went wrong."""
    requests = []
    for question in questions:
        text, answers = prompt(question, asking)
        start, tokens = opening(scorer, text)
        requests += [TokenRequest(*_split(scorer, start, tokens, text, answer)) for answer in answers]
    answered = iter(scorer.ask(requests))
    found: list[list[float] | str] = []
    for question in questions:
        three = list(islice(answered, len(ANSWERS)))
        error = next((each.error for each in three if each.error is not None), None)
        if error is None and any(not len(each.logprobs) for each in three):
            error = "the tokenizer makes no token of an answer"
        if error is None and asking == Asking.ANSWERS and _alike(scorer, question):
            error = ALIKE
        sums = [float(each.logprobs.mean() if per_token else each.logprobs.sum()) for each in three if error is None]
        found.append(error or sums)
    return found


def score_choices(scorer: Scorer, questions: Sequence[Mapping[str, Any]]) -> list[list[float] | str]:
    """Logits of a multiple-choice head for the three answers, or what went wrong.

    The head reads the context, and as its pair the question with the answer behind it (as transformers' example for
    RACE and SWAG does).
    """
    requests = [
        ChoiceRequest(question["context"], f"{question['question']} {question[name]}")
        for question in questions
        for name in ANSWERS
    ]
    answered = iter(scorer.ask(requests))
    found: list[list[float] | str] = []
    for question in questions:
        three = list(islice(answered, len(ANSWERS)))
        error = next((each.error for each in three if each.error is not None), None)
        if error is None and any(each.truncated for each in three):
            error = f"context, question and answer are more than the {scorer.max_tokens} tokens that the model reads"
        if error is None and _alike(scorer, question):
            error = ALIKE
        found.append(error or [each.logit for each in three])
    return found


def _alike(scorer: Scorer, question: Mapping[str, Any]) -> bool:
    return len({scorer.encode(question[name]) for name in ANSWERS}) < len(ANSWERS)


def _split(scorer: Scorer, start: Ids, tokens: Ids, text: str, answer: str) -> tuple[Ids, Ids]:
    """Context and target: as the whole text is cut, where the prompt's tokens begin it; else the two cut apart."""
    whole = opening(scorer, text + answer)[1]
    target = whole[len(tokens) :] if whole[: len(tokens)] == tokens else scorer.encode(answer, special=False)
    return (*start, *tokens), target
