"""How probable an answer is after a prompt, and whether greedy decoding gives it: one request tells both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.api.scorer import Scorer, TokenRequest, TokenScores
from suites.adversarial.victims.classifier import VictimError
from suites.continuation import answer_request, lead_tokens

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


def _scores(question: Question, request: TokenRequest, scores: TokenScores) -> AnswerScores | VictimError:
    prompt, answer = question
    why = scores.error or ("" if request.target else "the tokenizer makes no token of the answer")
    if why:
        return VictimError(f"{why}, asked for the answer {answer[:60]!r} after {prompt[-60:]!r}")
    logprob = min(0.0, float(scores.logprobs.mean()))
    return AnswerScores(logprob, len(request.target), bool(scores.greedy.all()))
