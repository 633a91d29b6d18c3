from __future__ import annotations

import re

import pytest

from harness.errors import UsageError
from privacy.canaries.pii import PII, fake_pii
from privacy.scrub.recognise import finder_for
from privacy.scrub.recognise.checks import TEST_REGION, card, chinese_id

FINDER = finder_for(names="off")
KINDS = {"email": "EMAIL", "phone": "PHONE", "phone_zh": "PHONE", "card": "CARD", "id_card_zh": "ID_CARD"}
FIRST = [
    "Clara T. Ellery",
    "吴玲艳",
    "karin.ellery5059@example.org",
    "(881) 555-0195",
    "15450194572",
    "9999 9962 6890 3567",
    "993665199507027389",
]


@pytest.mark.parametrize("kind", PII)
def test_values_are_different_and_follow_from_the_seed(kind: str) -> None:
    values = fake_pii(kind, 500, seed=3)
    assert len(set(values)) == 500
    assert fake_pii(kind, 500, seed=3) == values
    assert fake_pii(kind, 20, seed=3) == values[:20]
    assert fake_pii(kind, 20, seed=4) != values[:20]


def test_values_stay_those_of_the_first_version() -> None:
    """Manifests of old trainings name seeds, not values."""
    assert [fake_pii(kind, 1, seed=0)[0] for kind in PII] == FIRST


@pytest.mark.parametrize("kind", KINDS)
def test_every_value_is_found_whole_by_its_recogniser(kind: str) -> None:
    for value in fake_pii(kind, 300, seed=1):
        text = f"说{value}。" if kind.endswith("zh") else f"It says {value}, here."
        assert [(one.kind, text[one.start : one.end]) for one in FINDER.find(text)] == [(KINDS[kind], value)]


def test_no_value_can_be_a_persons() -> None:
    for value in fake_pii("card", 200, seed=2):
        assert value.startswith("9999")
        assert card(value.replace(" ", ""))
    for value in fake_pii("id_card_zh", 200, seed=2):
        assert value.startswith(TEST_REGION)
        assert chinese_id(value)
    for value in fake_pii("phone", 200, seed=2):
        assert re.fullmatch(r"\([2-9]\d\d\) 555-01\d\d", value)
    for value in fake_pii("phone_zh", 200, seed=2):
        assert re.fullmatch(r"154\d{8}", value)
    for value in fake_pii("email", 200, seed=2):
        assert re.search(r"@example\.(com|org|net)$", value)


def test_what_cannot_be_made_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="no kind 'iban'; choose one of name, "):
        fake_pii("iban", 1, seed=0)
    with pytest.raises(UsageError, match="there are hardly more than"):
        fake_pii("name", 3000, seed=0)
