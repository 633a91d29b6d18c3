from __future__ import annotations

import numpy as np
import pytest

from suites.quality.consistency.changes import CHANGES, OF_TEXT, changed
from suites.quality.consistency.prompts import prompt
from suites.quality.consistency.spread import largest_move


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        ("lower case", "A Good Film", "a good film"),
        ("upper case", "a good film", "A GOOD FILM"),
        ("final mark", "a good film", "a good film."),
        ("final mark", "a good film?!", "a good film"),
        ("final mark", "...", "..."),
        ("final mark", "wait... what. ", "wait... what"),
        ("double blanks", "a good\nfilm  now", "a  good\nfilm  now"),
        ("outer blanks", "a good film", " a good film "),
        ("parts", "a Good film", "a Good film"),
    ],
)
def test_a_change_keeps_the_words(change: str, before: str, after: str) -> None:
    name = next(each for each in CHANGES if each == change)
    assert changed(before, name) == after
    assert changed(before, name).lower().strip(".?! ").split() == before.lower().strip(".?! ").split()


def test_every_change_of_text_changes_an_ordinary_sentence() -> None:
    sentence = "The doctor said Yes to it."
    assert len({changed(sentence, change) for change in OF_TEXT} | {sentence}) == len(OF_TEXT) + 1


def test_orders_of_a_prompt() -> None:
    told = "Is this {choices}?"
    assert prompt("Fine film", told, ["good", "bad"]) == "Fine film\nIs this good, bad?\nAnswer:"
    assert prompt("Fine film", told, ["good", "bad"], "parts") == "Is this good, bad?\nFine film\nAnswer:"
    assert prompt("Fine film", told, ["good", "bad"], "choices") == "Fine film\nIs this bad, good?\nAnswer:"
    assert prompt("Fine film", "", ["good", "bad"], "parts") == "Fine film\nAnswer:"


def test_the_largest_move_and_its_interval() -> None:
    none, worse = np.zeros(50), np.repeat([-1.0, 0.0], [20, 30])
    found = largest_move({"upper case": none, "final mark": worse})
    assert (found.change, found.value) == ("final mark", 0.4)
    assert found.interval is not None
    assert 0.15 < found.interval.low < 0.4 < found.interval.high < 0.65
    assert found.interval.method == "worst of kinds, Bonferroni"
    alone = largest_move({"final mark": worse}).interval
    assert alone is not None
    assert found.interval.low < alone.low  # of two changes each has to hold more often


def test_the_interval_holds_although_the_largest_is_chosen() -> None:
    """Five changes that move nothing: the largest seen is above 0, and 0 lies within in nearly all of 100 runs."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        moves = {str(k): rng.choice([-1.0, 0.0, 1.0], size=60, p=[0.1, 0.8, 0.1]) for k in range(5)}
        found = largest_move(moves)
        assert found.interval is not None
        held += found.interval.low == 0.0
        assert found.value == max(abs(values.mean()) for values in moves.values())
    assert held >= 95
