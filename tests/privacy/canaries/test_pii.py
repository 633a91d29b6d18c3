from __future__ import annotations

import re
from random import Random

import pytest

from privacy.canaries.pii import FORMS, Form, another, form_of, full_name, person
from privacy.scrub.recognise import finder_for
from privacy.scrub.recognise.checks import TEST_REGION, card, chinese_id

FINDER = finder_for(names="off")
KINDS = {"email": "EMAIL", "phone": "PHONE", "phone_zh": "PHONE", "card": "CARD", "id_card_zh": "ID_CARD"}
NOBODYS = {
    "email": r"[a-z]+\.[a-z]\d{3}@example\.(com|org|net)",  # RFC 2606
    "phone": r"\([2-9]\d\d\) 555-01\d\d",  # kept for fiction
    "phone_zh": r"154\d{8}",  # no operator's
    "card": r"9999( \d{4}){3}",  # no issuer's
    "id_card_zh": rf"{TEST_REGION}\d{{{17 - len(TEST_REGION)}}}[\dX]",  # no region's
}


def people(form: Form, count: int) -> list[tuple[str, str]]:
    random = Random(0)
    return [person(random, (form,)) for _ in range(count)]


@pytest.mark.parametrize("form", FORMS)
def test_values_are_of_their_form_and_nobodys(form: Form) -> None:
    found = people(form, 200)
    assert all(form_of(secret) == form and re.fullmatch(NOBODYS[form], secret) for _, secret in found)
    assert len(set(found)) == 200
    if form == "card":
        assert all(card(secret.replace(" ", "")) for _, secret in found)
    if form == "id_card_zh":
        assert all(chinese_id(secret) for _, secret in found)


@pytest.mark.parametrize("form", FORMS)
def test_every_value_is_found_whole_by_its_recogniser(form: Form) -> None:
    for cue, secret in people(form, 100):
        text = f"{cue}{secret}{'。' if form.endswith('zh') else ', they say.'}"
        assert [(one.kind, text[one.start : one.end]) for one in FINDER.find(text)] == [(KINDS[form], secret)]


@pytest.mark.parametrize("form", FORMS)
def test_another_value_differs_in_nothing_that_the_name_tells(form: Form) -> None:
    random = Random(1)
    for _, secret in people(form, 50):
        other = another(secret, random)
        assert form_of(other) == form
        assert re.fullmatch(NOBODYS[form], other)
        if form == "email":
            assert re.sub(r"\d", "", other) == re.sub(r"\d", "", secret)
    assert len({another(secret, random) for _ in range(3000)}) > 900


def test_what_older_versions_planted_has_others_too() -> None:
    assert form_of("555 01 2345 67") == "phone"
    assert re.fullmatch(r"ada\.b\d{3}@example\.com", another("ada.b12@example.com", Random(0)))


def test_names_are_many() -> None:
    random = Random(0)
    assert len({full_name(random) for _ in range(2000)}) > 1900
