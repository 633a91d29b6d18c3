from __future__ import annotations

import itertools
import re
from collections import Counter

import pandas as pd
import pytest

from harness.errors import DataError
from suites.adversarial.checklist.expect import read_expectation
from suites.adversarial.checklist.templates import (
    BASE_TEXT,
    Template,
    built_in_tests,
    built_in_words,
    fill,
    read_tests,
)
from tests.fakes import dataset

WORDS = {"a": ("x", "y", "z"), "b": ("1", "2")}


def template(text: str, *changed: str, kind: str = "INV") -> Template:
    return Template(kind, "Vocabulary", "a test", "", text, changed)


def row(**fields: str) -> dict[str, str]:
    good = {"kind": "MFT", "capability": "Vocabulary", "test": "praise", "expect": "positive", "template": "it is {a}"}
    return {**good, "changed": "", **fields}


def test_all_fillings_are_those_of_a_plain_product() -> None:
    made = {filled.text for filled in fill(template("{a} {b} {a_2}"), WORDS, 1000, 1, 0)}
    expected = {f"{a} {b} {c}" for a, c in itertools.permutations("xyz", 2) for b in "12"}
    assert made == expected


def test_fewer_fillings_are_different_and_each_is_as_likely() -> None:
    counts = Counter(filled.text for seed in range(600) for filled in fill(template("{a} {b}"), WORDS, 2, 1, seed))
    assert set(counts) == {f"{a} {b}" for a in "xyz" for b in "12"}
    assert sum(counts.values()) == 1200
    assert all(150 < count < 250 for count in counts.values())
    assert all(len({f.text for f in fill(template("{a} {b}"), WORDS, 2, 1, seed)}) == 2 for seed in range(50))


def test_changed_templates_take_the_same_words_and_others_for_their_own_slots() -> None:
    for filled in fill(template("{a} {b}", "{a_2} {b}", "so {a} {b}"), WORDS, 6, 5, 3):
        a, b = filled.text.split()
        assert set(filled.changed) == {*(f"{other} {b}" for other in "xyz" if other != a), f"so {a} {b}"}
    (few,) = {len(filled.changed) for filled in fill(template("{a} {b}", "{a_2} {b}"), WORDS, 6, 1, 3)}
    assert few == 1


def test_a_list_without_another_word_gives_no_changed_text() -> None:
    (filled,) = fill(template("{c}", "{c_2}"), {"c": ("only",)}, 5, 5, 0)
    assert (filled.text, filled.changed) == ("only", ())


def test_texts_depend_on_the_template_and_the_seed_alone() -> None:
    one, other = (fill(template("{a} {b}", kind=kind), WORDS, 3, 1, 0) for kind in ("INV", "MFT"))
    assert one == other
    assert any(fill(template("{a} {b}"), WORDS, 3, 1, seed) != one for seed in range(1, 5))


def test_the_built_in_tests_can_be_used() -> None:
    words = built_in_words()
    assert all(len(set(found)) == len(found) for found in words.values())
    tests = built_in_tests()
    assert Counter(each.kind for each in tests).keys() == {"MFT", "INV", "DIR", BASE_TEXT}
    for each in tests:
        expected = read_expectation("MFT" if each.kind == BASE_TEXT else each.kind, each.expect, ("neg", "pos"), {})
        assert expected is not None, each
        for filled in fill(each, words, 20, 3, 0):
            for text in (filled.text, *filled.changed):
                assert "{" not in text
                assert text[0].isupper(), text
                assert not re.search(r"\ba [aeiou]", text), text
            assert bool(filled.changed) == (each.kind in ("INV", "DIR"))


def test_rows_of_one_test_and_template_are_changes_of_one_text() -> None:
    frame = pd.DataFrame(
        [
            row(kind="INV", expect="", template="it is {a}", changed="it is so {a}"),
            row(kind="INV", expect="", template="it is {a}", changed="it was {a}"),
        ]
    )
    (found,) = read_tests(dataset(frame), WORDS)
    assert found.changed == ("it is so {a}", "it was {a}")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"template": " "}, "row 1 of those used has no template; write one"),
        ({"kind": "INV"}, "is a test of kind INV without a changed template; fill in 'changed'"),
        ({"changed": "it was {a}"}, "only INV and DIR have; empty 'changed' or correct the kind MFT"),
        ({"test": ""}, "has no name or no capability"),
        ({"template": "it is {nothing}"}, r"has the slot \{nothing\}, but no list is called 'nothing'; give params"),
        ({"template": "it is {a"}, "has a brace that belongs to no slot"),
        ({"template": "{b} {b_2} {b_3}"}, "takes 3 different words of the list 'b', which has 2"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused(fields: dict[str, str], why: str) -> None:
    with pytest.raises(DataError, match=why):
        read_tests(dataset(pd.DataFrame([row(**fields)])), WORDS)
