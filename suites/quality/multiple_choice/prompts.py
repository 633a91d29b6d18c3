"""Prompts of questions: zero- and few-shot, answers as text or as letters, and the same in other orders."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.errors import DataError
from suites.quality.multiple_choice.questions import LETTERS, Question


class Form(StrEnum):
    """How an answer is given (Gu et al. 2024, OLMES): the text of each choice, or the letter of one that is listed."""

    CLOZE = "cloze"
    LETTERS = "letters"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked: a context, and a continuation for each choice in the order of the file."""

    context: str
    continuations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes prompts; `layout` holds {question} once."""

    form: Form
    layout: str

    def prompt(self, question: Question, shots: Sequence[Question], rotation: int = 0) -> Prompt:
        """The question after solved `shots`, its choices listed from `rotation` on where they are listed."""
        solved = [self._asked(shot, 0) + self._answers(shot, 0)[shot.label] for shot in shots]
        context = "\n\n".join([*solved, self._asked(question, rotation)])
        return Prompt(context, self._answers(question, rotation))

    def _asked(self, question: Question, rotation: int) -> str:
        text = question.text
        if self.form is Form.LETTERS:
            places = range(len(question.choices))
            order = [(at + rotation) % len(places) for at in places]
            text += "".join(f"\n{LETTERS[at]}. {question.choices[choice]}" for at, choice in enumerate(order))
        return self.layout.replace("{question}", text)

    def _answers(self, question: Question, rotation: int) -> tuple[str, ...]:
        if self.form is Form.CLOZE:
            return tuple(f" {choice}" for choice in question.choices)
        count = len(question.choices)
        return tuple(f" {LETTERS[(choice - rotation) % count]}" for choice in range(count))


@dataclass(frozen=True, slots=True)
class Pool:
    """Questions that examples are drawn from, in the order of a seed: as a rule all get the same, which costs least."""

    ranked: tuple[Question, ...]

    @classmethod
    def of(cls, questions: Sequence[Question], seed: int) -> Pool:
        """Each question once, ranked by a digest of seed and question."""
        once = {question.asks: question for question in reversed(questions)}
        rank = {asks: hashlib.sha256(f"{seed}:{asks}".encode()).digest() for asks in once}
        return cls(tuple(once[asks] for asks in sorted(once, key=rank.__getitem__)))

    def shots(self, question: Question, count: int) -> tuple[Question, ...]:
        """The first `count` that do not ask the same. Raises DataError where there are not so many."""
        found = [other for other in self.ranked[: count + 1] if other.asks != question.asks][:count]
        if len(found) < count:
            raise DataError(
                f"quality/multiple_choice: {count} examples are asked for, {len(found)} other questions are there; "
                "give more, or fewer num_fewshot"
            )
        return tuple(found)


def rotated(shots: Sequence[Question], by: int) -> list[Question]:
    """The same examples, beginning with another."""
    return [*shots[by:], *shots[:by]]
