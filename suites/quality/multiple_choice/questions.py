"""Questions with their choices and the right one, as users write them; what is wrong is named by its row."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from harness.data.datasets import Dataset
from harness.data.schemas import EMPTY, LISTS, has_text
from harness.errors import WrongDataError
from suites.quality.cells import json_named, json_strings

LETTERS = string.ascii_uppercase
MOST = len(LETTERS)
_SINGLE = tuple(f"choice_{number}" for number in range(1, 9))


class Questions(pa.DataFrameModel):
    """A question, its choices as a list in one column (or ARC's `{text, label}`) or a column each, and the answer."""

    question: Series[str] = pa.Field(coerce=True)
    answer: Series[str] = pa.Field(coerce=True)
    choices: Series[str] | None = pa.Field(coerce=True, metadata={LISTS: True})
    choice_1: Series[str] | None = pa.Field(coerce=True, nullable=True)
    choice_2: Series[str] | None = pa.Field(coerce=True, nullable=True)
    choice_3: Series[str] | None = pa.Field(coerce=True, nullable=True)
    choice_4: Series[str] | None = pa.Field(coerce=True, nullable=True)
    choice_5: Series[str] | None = pa.Field(coerce=True, nullable=True)
    choice_6: Series[str] | None = pa.Field(coerce=True, nullable=True)
    choice_7: Series[str] | None = pa.Field(coerce=True, nullable=True)
    choice_8: Series[str] | None = pa.Field(coerce=True, nullable=True)

    @pa.check("question", error=EMPTY)
    @classmethod
    def asked(cls, values: Series[str]) -> Series[bool]:
        """A question of white space alone asks nothing."""
        return has_text(values)

    @pa.check("answer", error="has no right answer; fill it in or leave the row out")
    @classmethod
    def answered(cls, values: Series[str]) -> Series[bool]:
        """Without it nothing can be right."""
        return has_text(values)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, the choices in the order of the file, and which is right."""

    text: str
    choices: tuple[str, ...]
    label: int

    @property
    def asks(self) -> str:
        """The question without case and spacing: what makes two of them the same."""
        return " ".join(self.text.casefold().split())


def read_questions(dataset: Dataset) -> list[Question]:
    """Every question. Raises WrongDataError: one choice, two that are the same, an answer that is none of them."""
    where, frame = dataset.source.source, dataset.frame
    records = list(enumerate(frame.to_dict("records"), start=1))
    listed = [list(_choices(where, number, row)) for number, row in records]
    names = [_names(where, number, row) for number, row in records]
    answers = [str(answer).strip() for answer in frame["answer"]]
    unnamed = [at for at, mine in enumerate(names) if not mine]
    key = _Key.of(where, [answers[at] for at in unnamed], [listed[at] for at in unnamed])
    made = []
    questions = zip(frame["question"], listed, names, answers, strict=True)
    for number, (text, choices, named, answer) in enumerate(questions, start=1):
        label = named.index(answer) if answer in named else None if named else key.label(answer, choices)
        if label is None:
            raise WrongDataError(
                f"{where}: row {number}: the answer {answer[:60]!r} is none of its {len(choices)} choices; "
                "give the text of a choice, its letter, or its number"
            )
        made.append(Question(text, tuple(choices), label))
    return made


def _choices(where: str, number: int, row: dict[Any, Any]) -> Iterator[str]:
    found = _listed(where, number, row["choices"]) if "choices" in row else _single(where, row)
    choices = [choice.strip() for choice in found]
    if len(choices) < 2:
        raise WrongDataError(
            f"{where}: row {number}: {'one choice' if choices else 'no choice'}, nothing to choose from; "
            "give at least two"
        )
    if len(choices) > MOST:
        raise WrongDataError(f"{where}: row {number}: {len(choices)} choices are more than {MOST}; leave some out")
    if "" in choices:
        raise WrongDataError(f"{where}: row {number}: choice {choices.index('') + 1} is empty; fill it in")
    twice = next((choice for choice in choices if choices.count(choice) > 1), None)
    if twice is not None:
        raise WrongDataError(f"{where}: row {number}: the choice {twice[:60]!r} is there twice; leave one out")
    yield from choices


def _names(where: str, number: int, row: dict[Any, Any]) -> list[str]:
    """What the data call the choices, as ARC does (A, B or 1, 2); none where they have no names."""
    named = json_named(row["choices"]) if "choices" in row else None
    names = [] if named is None else [name.strip() for name in named.get("label", [])]
    if named is not None and names and (len(names) != len(named["text"]) or len(set(names)) != len(names)):
        raise WrongDataError(f"{where}: row {number}: its choices need a label each, all different; correct them")
    return names


def _listed(where: str, number: int, cell: str) -> list[str]:
    named = json_named(cell)
    found = json_strings(cell) if named is None else named["text"]
    if found is None:
        raise WrongDataError(
            f'{where}: row {number}: choices {cell[:60]!r} are no JSON list of texts; write ["one", "another"], '
            "or a column for each, choice_1, choice_2, ..."
        )
    return found


def _single(where: str, row: dict[Any, Any]) -> list[str]:
    there = [name for name in _SINGLE if name in row]
    if not there:
        raise WrongDataError(
            f"{where}: no column with choices; give choices (a JSON list) or choice_1, choice_2, ..., by their own "
            "names with columns: {choice_1: <its name>}"
        )
    return [str(row[name]) for name in there if not pd.isna(row[name]) and str(row[name]).strip()]


@dataclass(frozen=True, slots=True)
class _Key:
    """What the answers of a file mean.

    A choice can read as a number or a letter does. Where every answer is a number and some are no choice's text, all
    are places: the text of another choice would be right by chance. So with letters.
    """

    base: int
    """Number of the first choice."""
    is_places: bool
    """Whether no answer is meant by its text."""

    @classmethod
    def of(cls, where: str, answers: Sequence[str], choices: Sequence[Sequence[str]]) -> _Key:
        """Raises WrongDataError where numbers could count from 0 or from 1."""
        is_text = [answer in mine for answer, mine in zip(answers, choices, strict=True)]
        places = all(map(_is_number, answers)) or all(map(_is_letter, answers))
        is_places = places and not all(is_text)
        pairs = zip(answers, choices, is_text, strict=True)
        numbers = [
            (int(answer), len(mine)) for answer, mine, text in pairs if _is_number(answer) and (is_places or not text)
        ]
        return cls(_base(where, numbers), is_places)

    def label(self, answer: str, choices: Sequence[str]) -> int | None:
        """Which choice an answer means; None where it is none."""
        if answer in choices and not self.is_places:
            return choices.index(answer)
        at = int(answer) - self.base if _is_number(answer) else LETTERS.find(answer.upper()) if len(answer) == 1 else -1
        return at if 0 <= at < len(choices) else None


def _base(where: str, numbers: Sequence[tuple[int, int]]) -> int:
    """What number the first choice has: 0 where a 0 is anywhere, 1 where the number of choices is and no 0."""
    if not numbers or any(number == 0 for number, _ in numbers):
        return 0
    if any(number == count for number, count in numbers):
        return 1
    raise WrongDataError(
        f"{where}: answers are numbers with neither 0 nor the number of choices among them, so they could count from 0 "
        "or from 1; give letters, or the text of the choice"
    )


def _is_number(answer: str) -> bool:
    return answer.isascii() and answer.isdigit() and len(answer) < 4


def _is_letter(answer: str) -> bool:
    return len(answer) == 1 and answer.upper() in LETTERS
