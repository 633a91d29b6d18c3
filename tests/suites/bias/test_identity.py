from __future__ import annotations

import re
from collections import defaultdict

import pytest

from suites.bias.identity import AXES, CONTROL, Variant, axes_of, filled_templates, swap

GROUPS = {"gender": 2, "nationality": 9, "race": 6, "religion": 6}


def texts(text: str, axis: str) -> dict[str, str] | None:
    made = swap(text, axis)
    return None if made is None or made.why_not else {variant.group: variant.text for variant in made.variants}


def chinese(text: str, axis: str) -> dict[str, str] | str | None:
    made = swap(text, axis, "zh")
    return None if made is None else made.why_not or {variant.group: variant.text for variant in made.variants}


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


@pytest.mark.parametrize("text", ["a film about trains", "the mandate of heaven, a he-man", "history"])
def test_a_text_that_mentions_nobody_is_no_case(text: str) -> None:
    assert swap(text, "gender") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("the man and the woman", "several groups: female, male"),
        ("I saw her work", "'her'"),
        ("a friend of his left", "'his'"),
    ],
)
def test_a_text_that_cannot_be_swapped_surely_says_why(text: str, why: str) -> None:
    made = swap(text, "gender")
    assert made is not None
    assert made.variants == ()
    assert why in made.why_not


def test_race_words_are_not_swapped_in_texts() -> None:
    assert swap("a black car and a white man", "race") is None


def test_pronouns_of_a_text_agree() -> None:
    text = "He gave his mother's ring to himself; nobody saw him, and it was his."
    assert texts(text.replace("mother's", "friend's"), "gender") == {
        "male": text.replace("mother's", "friend's"),
        "female": "She gave her friend's ring to herself; nobody saw her, and it was hers.",
    }
    assert texts("She loved her career; I thanked her.", "gender") == {
        "female": "She loved her career; I thanked her.",
        "male": "He loved his career; I thanked him.",
    }


def test_weekdays_are_the_control() -> None:
    assert texts("See you on Monday.", CONTROL) == {
        day: f"See you on {day}." for day in ("Monday", "Tuesday", "Thursday", "Friday")
    }


@pytest.mark.parametrize("axis", ["names", "name_gender", "pronouns", "occupation", "gender_race", CONTROL])
def test_further_axes_are_filled(axis: str) -> None:
    for template, variants in filled_templates(axis):
        assert len({variant.text for variant in variants}) == len(variants), template
        for variant in variants:
            assert not re.search(r"[{}]|\b[Tt]he (Emily|Scott|Omar|Meiling)\b", variant.text)
            assert variant.text[0].isupper()


def test_singular_they_has_the_verbs_of_she() -> None:
    """No template of the pronouns has a form of to be or to have, or an -s, that would not agree with they."""
    for _, variants in filled_templates("pronouns"):
        they = next(variant.text for variant in variants if variant.group == "they")
        assert not re.search(r"\b[Tt]hey (was|is|has|\w+s)\b", they)


@pytest.mark.parametrize("axis", [*axes_of("zh"), CONTROL])
def test_chinese_templates_agree(axis: str) -> None:
    """他 and 她 follow the person: a version about a woman has no 他 and the other way round; slots are all filled."""
    count = 0
    for template, variants in filled_templates(axis, "zh"):
        assert len({variant.text for variant in variants}) == len(variants), template
        for variant in variants:
            count += 1
            assert not re.search(r"[{}A-Za-z]", variant.text)
            female = re.search(r"女|母|妻|姐|妹|妈|王芳|李娜|张丽|她", variant.text)
            assert not (female and "他" in variant.text), variant.text
            male = re.search(r"先生|男|父|丈夫|哥|弟|爸|王强|李伟|张勇", variant.text)
            assert not (male and "她" in variant.text), variant.text
    assert count >= 40


@pytest.mark.parametrize(
    ("text", "axis", "group", "expected"),
    [
        ("她把书给了其他人。", "gender", "male", "他把书给了其他人。"),
        ("他们说那个女孩", "gender", "male", None),
        ("那个男孩弹吉他", "gender", "female", "那个女孩弹吉他"),
        ("中国人喜欢中国菜", "nationality", "德国", "德国人喜欢德国菜"),
        ("星期一见", CONTROL, "星期二", "星期二见"),
    ],
)
def test_chinese_words_are_swapped(text: str, axis: str, group: str, expected: str | None) -> None:
    found = chinese(text, axis)
    if expected is None:
        assert isinstance(found, str)
        assert "several groups" in found
    else:
        assert isinstance(found, dict)
        assert found[group] == expected


def test_a_chinese_text_with_an_unlisted_word_is_left_out() -> None:
    assert chinese("她是孕妇", "gender") == "'妇' in it may belong to a word of the axis that is not listed"
    assert chinese("其他人弹吉他", "gender") is None


def test_swapping_there_and_back_gives_the_text() -> None:
    text = "My father, an actor, told the boys that he was a king of men."
    there = texts(text, "gender")
    assert there is not None
    back = texts(there["female"], "gender")
    assert back is not None
    assert back["male"] == text
