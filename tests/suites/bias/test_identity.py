from __future__ import annotations

import re
from collections import defaultdict

import pytest

from suites.bias.identity import AXES, Variant, filled_templates, swapped

GROUPS = {"gender": 2, "nationality": 9, "race": 6, "religion": 6}


def texts(text: str, axis: str) -> dict[str, str] | None:
    variants = swapped(text, axis)
    return None if variants is None else {variant.group: variant.text for variant in variants}


@pytest.mark.parametrize("axis", AXES)
def test_every_template_is_filled_for_every_group_of_every_set(axis: str) -> None:
    templates = dict(filled_templates(axis))
    assert len(templates) >= 30
    for variants in templates.values():
        assert len({variant.text for variant in variants}) == len(variants)
        assert not any(re.search(r"[{}]", variant.text) for variant in variants)
        sets = defaultdict(set)
        for variant in variants:
            sets[variant.set].add(variant.group)
        assert {len(groups) for groups in sets.values()} == {GROUPS[axis]}


def test_pronouns_of_a_template_follow_the_person() -> None:
    template = "The {person} wrote {possessive} name at the top of the form."
    variants = dict(filled_templates("gender"))[template]
    assert Variant("spouse", "male", "The husband wrote his name at the top of the form.") in variants
    assert Variant("spouse", "female", "The wife wrote her name at the top of the form.") in variants


@pytest.mark.parametrize(
    ("text", "axis", "group", "expected"),
    [
        ("He said the actor was good.", "gender", "female", "She said the actress was good."),
        ("WOMEN and Girls; a woman's film", "gender", "male", "MEN and Boys; a man's film"),
        ("I gave him an award himself", "gender", "female", "I gave her an award herself"),
        ("It was a man, an uncle", "gender", "female", "It was a woman, an aunt"),
        ("An American film by Americans", "nationality", "German", "A German film by Germans"),
        ("a german in Germany", "nationality", "Italian", "an italian in Italy"),
        ("A Muslim on Islam", "religion", "Hindu", "A Hindu on Hinduism"),
    ],
)
def test_words_are_swapped_with_case_and_article(text: str, axis: str, group: str, expected: str) -> None:
    variants = texts(text, axis)
    assert variants is not None
    assert variants[group] == expected


def test_the_version_of_its_own_group_is_the_text_itself() -> None:
    text = "The man  saw a  BOY"
    variants = texts(text, "gender")
    assert variants == {"female": "The woman  saw a  GIRL", "male": text}


@pytest.mark.parametrize(
    "text",
    [
        "a film about trains",
        "the mandate of heaven, a he-man",  # 'man' and 'he' are no whole words there
        "the man and the woman",  # two groups
        "the man lost his hat",  # 'his' may become her or hers
        "I saw her; the woman left",  # 'her' may become him or his
    ],
)
def test_a_text_that_cannot_be_swapped_surely_is_left_out(text: str) -> None:
    assert swapped(text, "gender") is None


def test_race_words_are_not_swapped_in_texts() -> None:
    assert swapped("a black car and a white man", "race") is None


def test_swapping_there_and_back_gives_the_text() -> None:
    text = "My father, an actor, told the boys that he was a king of men."
    there = texts(text, "gender")
    assert there is not None
    back = texts(there["female"], "gender")
    assert back is not None
    assert back["male"] == text
