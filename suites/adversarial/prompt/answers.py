"""How probable an answer is after a prompt, and whether greedy decoding gives it: one request tells both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.api.scorer import Scorer, TokenRequest, TokenScores
from suites.adversarial.victims.classifier import VictimError
from suites.framing import opening, start_or_none, without_start

CHANNEL = "answer"
"""Where attacks ask the broker for these scores."""
Question = tuple[str, str]
"""A prompt, with all that stands around it, and the answer."""


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """Mean natural-log probability of the answer's tokens, how many there are, and whether each is the argmax.

    A teacher-forced answer whose every token is the argmax is what greedy decoding begins with.
    """

    logprob: float
    tokens: int
    matched: bool


class AnswerScorer:
    """Answers in the process that holds the model, which also has the tokenizer; `separator` as in `answer_request`."""

    def __init__(self, scorer: Scorer, separator: str) -> None:
        self._scorer = scorer
        self._separator = separator
        self._lead = lead_tokens(scorer)

    def __call__(self, questions: Sequence[Question]) -> list[AnswerScores | VictimError]:
        """Scores of each question, in order, or why there are none."""
        requests = [answer_request(self._scorer, self._lead, *question, self._separator) for question in questions]
        found = self._scorer.ask(requests)
        return [
            _scores(question, request, scores)
            for question, request, scores in zip(questions, requests, found, strict=True)
        ]


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


def _scores(question: Question, request: TokenRequest, scores: TokenScores) -> AnswerScores | VictimError:
    prompt, answer = question
    why = scores.error or ("" if request.target else "the tokenizer makes no token of the answer")
    if why:
        return VictimError(f"{why}, asked for the answer {answer[:60]!r} after {prompt[-60:]!r}")
    logprob = min(0.0, float(scores.logprobs.mean()))
    return AnswerScores(logprob, len(request.target), bool(scores.greedy.all()))
