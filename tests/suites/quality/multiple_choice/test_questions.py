"""Files of questions as users write them: what each answer means, and one sentence for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.data.datasets import DataSource, load_dataset
from harness.errors import DataError
from suites.quality.multiple_choice.questions import Question, Questions, read_questions


def read(folder: Path, *rows: dict[str, Any], **source: Any) -> list[Question]:
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_questions(load_dataset(DataSource(source=str(path), **source), Questions))


def row(answer: Any, choices: str = '["red", "green", "blue"]') -> dict[str, Any]:
    return {"question": "Which colour?", "choices": choices, "answer": answer}


@pytest.mark.parametrize(
    ("answers", "labels"),
    [
        (["green", "red"], [1, 0]),
        (["B", "c"], [1, 2]),
        ([0, 2], [0, 2]),
        ([1, 3], [0, 2]),
        (["0", "blue"], [0, 2]),
    ],
)
def test_an_answer_is_a_text_a_letter_or_a_number(answers: list[Any], labels: list[int], tmp_path: Path) -> None:
    assert [question.label for question in read(tmp_path, *map(row, answers))] == labels


def test_choices_may_have_a_column_each(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"question": "1 + 1?", "A": "2", "B": "3", "C": None, "answer": "A"},
        {"question": "2 + 2?", "A": "3", "B": "5", "C": "4", "answer": "C"},
    ]
    found = read(tmp_path, *rows, columns={"choice_1": "A", "choice_2": "B", "choice_3": "C"})
    assert [(question.choices, question.label) for question in found] == [(("2", "3"), 0), (("3", "5", "4"), 2)]


def test_a_choice_that_is_a_number_is_meant_by_its_text(tmp_path: Path) -> None:
    (found,) = read(tmp_path, row("2", '["4", "2", "0"]'))
    assert found.label == 1


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        ([row(0), row(2, '["2", "1", "0", "3"]')], [0, 2]),
        ([row(3), row(1, '["2", "3", "1"]')], [2, 0]),  # 3 of 3 choices: they count from 1
        ([row("C"), row("B", '["B", "A", "AB", "O"]')], [2, 1]),  # blood groups
        ([row("b"), row("C", '["C", "D", "E"]')], [1, 2]),
        ([row("B", '["B", "A"]'), row("A", '["B", "A"]')], [0, 1]),  # every answer is a text: no sign of letters
        ([row("green"), row("2", '["4", "2", "0"]')], [1, 1]),
    ],
)
def test_where_the_answers_are_places_a_choice_that_reads_like_one_is_not_meant(
    rows: list[dict[str, Any]], labels: list[int], tmp_path: Path
) -> None:
    assert [question.label for question in read(tmp_path, *rows)] == labels


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([row("")], r"row 1, column 'answer': has no right answer"),
        ([row("green"), row("white")], r"row 2: the answer 'white' is none of its 3 choices"),
        ([row("D"), row("A")], r"row 1: the answer 'D' is none of its 3 choices"),
        ([row("red", '["red"]')], r"row 1: one choice, nothing to choose from"),
        ([row("red", "[]")], r"row 1: no choice, nothing to choose from"),
        ([row("red", '["red", "red "]')], r"row 1: the choice 'red' is there twice"),
        ([row("red", '["red", ""]')], r"row 1: choice 2 is empty"),
        ([row("red", "red, green")], r"row 1: choices 'red, green' are no JSON list of texts"),
        ([row("red", '["red", 2]')], r"are no JSON list of texts"),
        ([row(1), row(2)], r"could count from 0 or from 1"),
        ([{"question": "x", "answer": "y"}], r"no column with choices"),
        ([{**row("red"), "question": " "}], r"row 1, column 'question': is empty"),
    ],
)
def test_what_is_wrong_is_one_sentence(rows: list[dict[str, Any]], why: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=why) as caught:
        read(tmp_path, *rows)
    assert "\n" not in str(caught.value)


def test_choices_in_the_forms_of_the_hub(tmp_path: Path) -> None:
    """A list (MMLU), and lists of texts and labels (ARC), whose labels say what an answer means."""
    arc = {"text": ["red", "green", "blue"], "label": ["A", "B", "C"]}
    numbered = {"text": ["2", "1", "4"], "label": ["1", "2", "3"]}
    rows: list[dict[str, Any]] = [
        {"question": "Which?", "choices": ["red", "green"], "answer": 1},
        {"question": "Which colour?", "choices": arc, "answer": "C"},
        {"question": "Which number?", "choices": numbered, "answer": "2"},
        {"question": "Which of two?", "choices": {"text": ["red", "green"]}, "answer": "0"},
    ]
    found = read(tmp_path, *rows)
    assert [question.label for question in found] == [1, 2, 1, 0]
    assert found[1].choices == ("red", "green", "blue")
    assert found[2].choices == ("2", "1", "4")


@pytest.mark.parametrize(
    ("choices", "answer", "why"),
    [
        ({"text": ["a", "b"], "label": ["A", "A"]}, "A", "its choices need a label each, all different"),
        ({"text": ["a", "b"], "label": ["1", "2"]}, "3", "the answer '3' is none of its 2 choices"),
        ({"label": ["1", "2"]}, "1", "are no JSON list of texts"),
    ],
)
def test_labels_that_name_no_choice_are_refused(choices: Any, answer: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=why):
        read(tmp_path, {"question": "Which?", "choices": choices, "answer": answer})
