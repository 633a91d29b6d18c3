from __future__ import annotations

import re

import pytest

from suites.adversarial.checklist.changes import CHANGES, changed_versions
from suites.adversarial.checklist.templates import built_in_words

WORDS = built_in_words()


def versions(name: str, text: str, pair: str | None = None, most: int = 1000) -> list[tuple[str, str | None]]:
    return changed_versions(CHANGES[name], text, pair, WORDS, "0", most)


def texts(name: str, text: str, most: int = 1000) -> list[str]:
    return [version for version, _ in versions(name, text, most=most)]


def test_a_name_becomes_every_other_name_of_its_list_wherever_it_stands() -> None:
    found = texts("names", "Anna said so. I asked Anna and Peter.")
    women = {f"{w} said so. I asked {w} and Peter." for w in WORDS["woman"] if w != "Anna"}
    men = {f"Anna said so. I asked Anna and {m}." for m in WORDS["man"] if m != "Peter"}
    assert len(found) == len(women | men)
    assert set(found) == women | men


@pytest.mark.parametrize("text", ["annabel and Annas and Anna-Lena", "nobody", "anna and PETER"])
def test_parts_of_words_and_other_cases_are_no_names(text: str) -> None:
    assert texts("names", text) == []


def test_places_keep_out_of_longer_names() -> None:
    assert texts("places", "London Bridge and Paris Hilton") == []
    for found in texts("places", "In London we crossed London Bridge."):
        assert re.fullmatch(r"In (\w+ ?\w*) we crossed London Bridge\.", found)
    assert {found.split()[1] for found in texts("places", "In Spain it rains.")} == set(WORDS["country"]) - {"Spain"}


@pytest.mark.parametrize(
    "text",
    ["8/10", "I give it a 10", "42 out of 50", "12%", "25 stars", "$45", "it costs 1,500", "a4 and x15", "3.14", "007"],
)
def test_grades_shares_prices_and_codes_are_no_numbers(text: str) -> None:
    assert texts("numbers", text) == []


def test_numbers_stay_near_and_as_long_everywhere_alike() -> None:
    found = texts("numbers", "40 people, 40 days, in 1999.")
    assert found
    for each in found:
        match = re.fullmatch(r"(\d+) people, (\d+) days, in (\d+)\.", each)
        assert match
        first, second, year = map(int, match.groups())
        assert first == second
        assert (first == 40) != (year == 1999)
        assert 32 <= first <= 48
        assert 1989 <= year <= 2009


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't know.", ["I do not know."]),
        ("I do not know.", ["I don't know."]),
        ("I can't and I won't.", ["I cannot and I will not."]),
        ("We cannot; it is not so.", ["We can't; it isn't so."]),
        ("It's fine, isn't it?", []),
        ("Isn’t it? They’re good.", ["Isn’t it? They are good."]),
        ("I'm here. You are right.", ["I am here. You are right.", "I'm here. You're right."]),
        ("It is not only good", ["It's not only good"]),
        ("Here I am.", []),
    ],
)
def test_contractions(text: str, expected: list[str]) -> None:
    assert texts("contractions", text) == expected


@pytest.mark.parametrize(("name", "hit"), [("one typo", 1), ("two typos", 2)])
def test_typos_swap_two_inner_letters(name: str, hit: int) -> None:
    text = "the wonderful story about two brothers"
    found = texts(name, text, most=8)
    assert found
    for each in found:
        changed = [(a, b) for a, b in zip(text.split(), each.split(), strict=True) if a != b]
        assert len(changed) == hit
        for old, new in changed:
            at = next(i for i in range(len(old)) if old[i] != new[i])
            assert new == old[:at] + old[at + 1] + old[at] + old[at + 2 :]
            assert (new[0], new[-1]) == (old[0], old[-1])


def test_a_text_with_too_few_long_words_gets_no_typo() -> None:
    assert texts("one typo", "so it is") == []
    assert texts("two typos", "a story") == []
    assert texts("one typo", "a story")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good.", ["Good"]),
        ("Good", ["Good."]),
        ("Good!!", ["Good", "Good."]),
        ("Good?", ["Good"]),
        ("...", []),
        ("Good :)", ["Good :)."]),
    ],
)
def test_the_final_mark(text: str, expected: list[str]) -> None:
    assert texts("final mark", text) == expected


@pytest.mark.parametrize("name", [name for name, change in CHANGES.items() if change.adds])
def test_added_sentences_leave_the_text_whole(name: str) -> None:
    found = texts(name, "Good film")
    (words,) = CHANGES[name].lists
    pattern = "{} Good film" if name == "neutral opening" else "Good film. {}"
    assert set(found) == {pattern.format(phrase) for phrase in WORDS[words]}
    assert texts(name, " ") == []
    if name != "neutral opening":
        assert all(each.startswith("Good film! ") for each in texts(name, "Good film!"))


@pytest.mark.parametrize("name", list(CHANGES))
def test_versions_are_different_from_the_text_and_from_each_other_and_fixed_by_the_seed(name: str) -> None:
    text = "I don't think that Anna saw the 45 people in London, whatever happened there"
    found = versions(name, text, most=3)
    assert 1 <= len(found) <= 3
    assert len(set(found)) == len(found)
    assert (text, None) not in found
    assert versions(name, text, most=3) == found


def test_both_texts_of_a_pair_are_changed_alike() -> None:
    for first, second in versions("names", "Anna sleeps.", "So Anna is awake."):
        name = first.split()[0]
        assert name != "Anna"
        assert second == f"So {name} is awake."
    assert versions("final mark", "One.", "Two.") == [("One.", "Two")]
    assert versions("neutral ending", "One.", "Two.") == []
    assert [pair for _, pair in versions("contractions", "a\x1eb", "I am not")] == ["I'm not"]
