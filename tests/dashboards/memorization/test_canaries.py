from __future__ import annotations

import pandas as pd

from dashboards.memorization.canaries import exposed, guessed, texts_by_case
from harness.api.case import make_cases

LISTED = [
    {"id": "c0", "kind": "random-tokens", "text": "a b", "repetitions": 1, "pattern": None},
    {"id": "c1", "kind": "secret", "text": "pin 12", "repetitions": 4, "pattern": "##"},
    {"id": "c2", "kind": "secret", "text": "pin 34", "repetitions": 1, "pattern": "##"},
]


def test_the_upper_half_of_places_is_guessed_planted() -> None:
    good = pd.DataFrame(
        {
            "case_id": list("abcdef"),
            "kind": ["x"] * 4 + ["y"] * 2,
            "label": [""] * 6,
            "score": [4.0, 3.0, 2.0, 1.0, 900.0, 800.0],
            "planted": [True, False, True, False, True, False],
        }
    )
    found = guessed(good).set_index("case_id")
    assert list(found.loc[list("abcdef"), "place"]) == [0.875, 0.625, 0.375, 0.125, 0.75, 0.25]
    assert [name for name in "abcdef" if found.loc[name, "guess"] == "planted"] == ["a", "b", "e"]
    assert "".join(found.loc[list("abcdef"), "is"].str[0]) == "rwwrrr"  # right or wrong
    assert list(guessed(good)["case_id"])[:2] == ["a", "e"]


def test_what_its_coin_did_not_plant_stood_nowhere() -> None:
    good = pd.DataFrame(
        {
            "case_id": ["a", "b"],
            "pattern": ["##"] * 2,
            "repetitions": [4, 4],
            "planted": [False, True],
            "rank": [50, 1],
            "exposure": [1.0, 6.6],
            "references": [99, 99],
        }
    )
    found = exposed(good)
    assert list(found["case_id"]) == ["b", "a"]
    assert list(found["copies"]) == [4, 0]
    assert list(found["among"]) == [100, 100]


def test_a_text_is_found_by_the_digest_of_its_case_in_either_probe() -> None:
    found = texts_by_case(LISTED, seed=7)
    audited = make_cases([{"place": 0, **LISTED[0]}, {"place": 2, **LISTED[2]}])
    ranked = make_cases([{"place": 1, "seed": 7, **LISTED[1]}, {"place": 2, "seed": 7, **LISTED[2]}])
    assert {case.id for case in [*audited, *ranked]} == set(found)
    assert [found[case.id]["text"] for case in [*audited, *ranked]] == ["a b", "pin 34", "pin 12", "pin 34"]
    assert ranked[0].id not in texts_by_case(LISTED, seed=8)
