"""Prompts, written out, and examples that never hold the answer."""

from __future__ import annotations

import pytest

from harness.errors import DataError
from suites.quality.multiple_choice.prompts import Form, Pool, Writer, rotated
from suites.quality.multiple_choice.questions import Question

COLOUR = Question("Which colour?", ("red", "green", "blue"), 1)
SUM = Question("1 + 1?", ("2", "3"), 0)
LAYOUT = "Q: {question}\nA:"


def test_cloze_prompts_score_the_text_of_each_choice() -> None:
    prompt = Writer(Form.CLOZE, LAYOUT).prompt(COLOUR, [SUM])
    assert prompt.context == "Q: 1 + 1?\nA: 2\n\nQ: Which colour?\nA:"
    assert prompt.continuations == (" red", " green", " blue")


def test_letters_are_listed_and_scored_in_the_order_of_the_file() -> None:
    prompt = Writer(Form.LETTERS, LAYOUT).prompt(COLOUR, [SUM], rotation=1)
    assert prompt.context == "Q: 1 + 1?\nA. 2\nB. 3\nA: A\n\nQ: Which colour?\nA. green\nB. blue\nC. red\nA:"
    assert prompt.continuations == (" C", " A", " B")


def test_examples_never_hold_the_question_or_one_that_asks_the_same() -> None:
    questions = [Question(f"Question {at}?", ("a", "b"), at % 2) for at in range(20)]
    again = [Question(f"  question  {at}? ", ("b", "a"), at % 2) for at in range(20)]
    pool = Pool.of([*questions, *again], seed=3)
    for question in (*questions, *again):
        shots = pool.shots(question, 5)
        assert len({shot.asks for shot in shots}) == 5
        assert question.asks not in {shot.asks for shot in shots}


def test_examples_hang_on_the_seed_alone() -> None:
    questions = [Question(f"Question {at}?", ("a", "b"), 0) for at in range(30)]
    asked = Question("Something else?", ("a", "b"), 0)
    first = Pool.of(questions, 1).shots(asked, 4)
    assert Pool.of(questions[::-1], 1).shots(asked, 4) == first
    assert Pool.of(questions, 2).shots(asked, 4) != first


def test_too_few_other_questions_are_refused() -> None:
    with pytest.raises(DataError, match=r"2 examples are asked for, 1 other questions are there"):
        Pool.of([COLOUR, SUM], 0).shots(COLOUR, 2)


def test_rotations_hold_the_same_examples() -> None:
    assert rotated([COLOUR, SUM], 1) == [SUM, COLOUR]
