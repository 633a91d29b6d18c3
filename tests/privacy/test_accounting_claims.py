"""What a report may print."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.accounting import AccountingError, Mechanism, bounds, claim
from privacy.accounting.claims import round_up
from privacy.accounting.prv import prv_bounds


def test_the_sentence_names_bound_accountants_delta_and_unit() -> None:
    made = claim(Mechanism(1.0, 0.04, 250), 1e-5)
    assert made.sentence == ("epsilon ≤ 4.19 (PRV; PLD 4.19, RDP 4.73) at delta 1e-05 per record, add or remove one")
    assert made.accountant == "prv"
    assert made.lower is not None
    assert made.lower < 4.185 < made.epsilon
    assert made.note is None
    assert made.agrees


def test_where_pld_is_asked_prv_is_the_second_opinion() -> None:
    made = claim(Mechanism(1.0, 0.04, 250), 1e-5, "pld")
    assert made.accountant == "pld"
    assert made.second_opinion is not None
    assert made.second_opinion.accountant == "prv"
    assert made.lower == made.second_opinion.lower
    assert made.sentence.startswith("epsilon ≤ 4.19 (PLD; PRV 4.19, RDP 4.73)")


def test_where_rdp_is_asked_it_is_named_once() -> None:
    made = claim(Mechanism(1.0, 0.04, 250), 1e-5, "rdp")
    assert made.sentence.startswith("epsilon ≤ 4.73 (RDP; PLD 4.19) at")
    assert made.epsilon == made.rdp.upper


def test_users_are_claimed_by_pld_with_the_generic_bound_beside_it() -> None:
    made = claim(Mechanism(8.0, 0.05, 200, 4), 1e-5)
    assert made.accountant == "pld"
    assert made.note == "PRV counts single records, so PLD's bound is claimed"
    assert re.search(r"\(PLD; group bound by PLD [\d.]+, group bound by RDP [\d.]+\)", made.sentence)
    assert made.sentence.endswith("at delta 1e-05 per user of at most 4 records, add or remove one user")
    assert made.second_opinion is not None
    assert made.epsilon <= made.second_opinion.upper <= made.rdp.upper
    assert made.agrees


def test_without_sampling_the_claim_says_so() -> None:
    assert claim(Mechanism(10.0, 1.0, 20), 1e-5).sentence.endswith("not amplified by sampling")


def test_too_loud_for_prv_is_claimed_by_pld() -> None:
    made = claim(Mechanism(0.15, 0.2, 100), 1e-5)
    assert made.accountant == "pld"
    assert made.note is not None
    assert re.fullmatch(r"PRV failed \(.*privacy loss.*\), so PLD's bound is claimed", made.note)
    assert made.second_opinion is None  # PRV again
    assert made.epsilon <= made.rdp.upper


def test_too_small_a_delta_is_claimed_by_rdp() -> None:
    made = claim(Mechanism(1.0, 0.01, 1000), 1e-20)
    assert made.accountant == "rdp"
    assert made.note is not None
    assert "PRV failed (delta 1e-20 is too small" in made.note
    assert made.note.endswith("so RDP's looser bound is claimed")
    assert made.sentence.count("RDP") == 1


@pytest.mark.parametrize(("factor", "agrees"), [(0.5, False), (0.9, False), (1.0, True), (1.5, False)])
def test_bounds_that_disagree_are_not_hidden(monkeypatch: pytest.MonkeyPatch, factor: float, agrees: bool) -> None:
    def wrong(mechanism: Mechanism, delta: float) -> tuple[float, ...]:
        return tuple(factor * value for value in prv_bounds(mechanism, delta))

    monkeypatch.setattr(bounds, "prv_bounds", wrong)
    made = claim(Mechanism(1.0, 0.04, 250), 1e-5)
    assert made.agrees is agrees
    assert made.second_opinion is not None
    assert made.epsilon >= 4.184  # never less than the truth because one accountant says so
    assert (made.note is not None and "the accountants disagree" in made.note) is not agrees


def test_failures_of_every_accountant_but_rdp_end_in_rdp(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise AccountingError("the grid is full")

    monkeypatch.setattr(bounds, "prv_bounds", fails)
    monkeypatch.setattr(bounds, "pld_upper", fails)
    made = claim(Mechanism(1.0, 0.04, 250), 1e-5)
    assert made.accountant == "rdp"
    assert made.second_opinion is None
    assert made.note == "PRV failed (the grid is full); PLD failed (the grid is full), so RDP's looser bound is claimed"


def test_no_noise_is_said_plainly() -> None:
    made = claim(Mechanism(0.0, 0.1, 10), 1e-5)
    assert math.isinf(made.epsilon)
    assert made.agrees
    assert made.sentence.startswith("no finite epsilon at delta 1e-05")
    assert claim(Mechanism(1.0, 0.1, 0), 1e-5).sentence.startswith("epsilon ≤ 0 (PRV; PLD 0, RDP 0)")


@given(st.floats(1e-9, 1e7))
def test_printing_never_promises_more(value: float) -> None:
    shown = float(round_up(value))
    assert value * (1 - 1e-11) <= shown <= value * 1.11


def test_what_is_round_stays() -> None:
    assert [round_up(value) for value in (7.98, 8.0, 0.1, 1e-5, 1.484e-6, 1234.2)] == [
        "7.98",
        "8.00",
        "0.10",
        "1e-05",
        "1.5e-06",
        "1235",
    ]
