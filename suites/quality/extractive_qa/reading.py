"""The likeliest span of a context of any length, read in pieces where it does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.api.requests.heads import AnswerRequest, AnswerScores
from harness.api.scorer import Scorer


@dataclass(slots=True)
class Found:
    """What was found in the pieces read so far.

    Attributes:
        start: first character of the span in the context; with `end` equal to it there is no span.
        end: one after its last.
        score: sum of the two logits of the span; the largest of all pieces.
        no_answer: sum of the two logits of [CLS]; the least of all pieces, as one that sees the answer knows it is
            there. None without a [CLS].
        pieces: read.
        error: why a piece could not be read.
    """

    start: int = 0
    end: int = 0
    score: float = float("-inf")
    no_answer: float | None = None
    pieces: int = 0
    error: str | None = None


def read_all(scorer: Scorer, asked: Sequence[tuple[str, str]], most_tokens: int) -> list[Found]:
    """The likeliest span of at most so many tokens for each question and context.

    Where a context does not fit, the next piece begins in the middle of the one before, at a token: an answer up to
    half a piece long stands whole in one of them (as Devlin et al. 2019 read SQuAD, with half for their stride of 128).
    Pieces of all contexts are asked together, round by round.
    """
    found = [Found() for _ in asked]
    begins = dict.fromkeys(range(len(asked)), 0)
    while begins:
        order = list(begins)
        requests = [AnswerRequest(asked[at][0], asked[at][1][begins[at] :]) for at in order]
        for at, answer in zip(order, scorer.ask(requests), strict=True):
            begin = begins.pop(at)
            if (more := _take(found[at], answer, begin, most_tokens)) is not None:
                begins[at] = more
    return found


def _take(found: Found, answer: AnswerScores, begin: int, most_tokens: int) -> int | None:
    """Add a piece that begins at a character of the context; where the next one begins, None where it was the last."""
    span = None if answer.error is not None else answer.best(most_tokens)
    if span is None:
        found.error = answer.error or "no token of the context could be read; the question fills the model's window"
        return None
    found.pieces += 1
    if span.score > found.score:
        found.start, found.end, found.score = begin + span.start, begin + span.end, span.score
    if answer.no_answer is not None:
        found.no_answer = answer.no_answer if found.no_answer is None else min(found.no_answer, answer.no_answer)
    if answer.truncated == 0:
        return None
    middle = answer.offsets[len(answer.offsets) // 2][0]
    if middle == 0:
        found.error = "a single token of the context fits beside the question"
        return None
    return begin + middle
