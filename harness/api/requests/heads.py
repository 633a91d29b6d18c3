"""What heads other than classifiers and language models say of a text: labels, numbers, tags, spans, choices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.api.scorer import Floats, Request

Offsets = tuple[tuple[int, int], ...]
"""First character and the one after the last, by token; white space at a token's ends left out."""


@dataclass(frozen=True, slots=True)
class LabelsRequest(Request["LabelScores"]):
    """A logit per label of a text or pair, labels that do not exclude each other; needs a multi-label classifier."""

    text: str
    pair: str | None = None


@dataclass(frozen=True, slots=True)
class LabelScores:
    """Logits [labels]; `truncated` counts the tokens cut off; `error` says why the logits cannot be used."""

    logits: Floats
    truncated: int = 0
    error: str | None = None

    @property
    def probabilities(self) -> Floats:
        """Of each label by itself (the sigmoid), [labels]."""
        small = np.exp(-np.abs(self.logits))  # never overflows
        return np.asarray(np.where(self.logits < 0, small, 1.0) / (1 + small), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class RegressionRequest(Request["Regressed"]):
    """The numbers a regression head gives a text or pair."""

    text: str
    pair: str | None = None


@dataclass(frozen=True, slots=True)
class Regressed:
    """The head's outputs as they are, [outputs]."""

    values: Floats
    truncated: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class NextSentenceRequest(Request["NextSentence"]):
    """Whether `pair` follows `text`; needs a next-sentence head (Devlin et al. 2019)."""

    text: str
    pair: str


@dataclass(frozen=True, slots=True)
class NextSentence:
    """Logits of "follows" and "does not", [2]."""

    logits: Floats
    truncated: int = 0
    error: str | None = None

    @property
    def follows(self) -> float:
        """Probability that the second text follows the first."""
        return float(1 / (1 + np.exp(self.logits[1] - self.logits[0])))


@dataclass(frozen=True, slots=True)
class ChoiceRequest(Request["ChoiceScore"]):
    """How well `pair` (question and one of its answers) fits `text`; needs a multiple-choice head (SWAG, RACE).

    One request an answer: the head reads each alone, and those of a question are compared by their logits.
    """

    text: str
    pair: str


@dataclass(frozen=True, slots=True)
class ChoiceScore:
    """The head's logit for one answer; the softmax over the answers to a question is what the head was trained by."""

    logit: float
    truncated: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class TagRequest(Request["Tags"]):
    """A label for each token of a text; needs a token classifier whose tokenizer gives character offsets (fast)."""

    text: str


@dataclass(frozen=True, slots=True)
class Tags:
    """Logits [tokens, labels] of the text's own tokens, special ones left out, and where each stands in the text."""

    logits: Floats
    offsets: Offsets
    truncated: int = 0
    error: str | None = None

    @property
    def labels(self) -> tuple[int, ...]:
        """Index of the largest logit of each token."""
        return tuple(int(label) for label in self.logits.argmax(-1))


@dataclass(frozen=True, slots=True)
class AnswerRequest(Request["AnswerScores"]):
    """Where in `context` the answer to `question` stands; needs a question-answering head and a fast tokenizer.

    A context that does not fit is cut at its end and the loss counted; ask for pieces of it to have all of it read.
    """

    question: str
    context: str


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of the context, and the sum of the logits of its first and last token."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """Logits of each context token as the first and the last of the answer, both [tokens], and where it stands.

    `no_answer`: the two logits of [CLS] summed, by which SQuAD 2 models say that there is none; None without a [CLS].
    """

    starts: Floats
    ends: Floats
    offsets: Offsets
    no_answer: float | None = None
    truncated: int = 0
    error: str | None = None

    def best(self, most_tokens: int = 30) -> Span | None:
        """The likeliest span of at most so many tokens; None where no token of the context was read."""
        if not self.offsets or most_tokens < 1:
            return None
        sums = self.starts[:, None] + self.ends[None]
        places = np.arange(len(self.offsets))
        length = places[None] - places[:, None] + 1
        sums = np.where((length >= 1) & (length <= most_tokens), sums, -np.inf)
        first, last = np.unravel_index(int(sums.argmax()), sums.shape)
        return Span(self.offsets[first][0], self.offsets[last][1], float(sums[first, last]))
