"""What a report may print."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from privacy.accounting import AccountingError, Mechanism, bounds, claim
from privacy.accounting.bounds import GENERIC
from privacy.accounting.prv import prv_bounds


def test_prv_is_claimed_with_pld_and_rdp_beside_it() -> None:
    made = claim(Mechanism(1.0, 0.04, 250), 1e-5)
    assert made.second_opinion is not None
    assert made.second_opinion.accountant == "pld"
    assert 4.18 < made.second_opinion.upper <= made.epsilon <= 4.19
    assert 4.72 < made.rdp.upper <= 4.73
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
    assert 4.18 < made.epsilon <= made.second_opinion.upper <= 4.19
    assert 4.72 < made.rdp.upper <= 4.73


def test_where_rdp_is_asked_pld_is_the_second_opinion() -> None:
    made = claim(Mechanism(1.0, 0.04, 250), 1e-5, "rdp")
    assert made.accountant == "rdp"
    assert 4.72 < made.epsilon == made.rdp.upper <= 4.73
    assert made.second_opinion is not None
    assert made.second_opinion.accountant == "pld"
    assert 4.18 < made.second_opinion.upper <= 4.19


def test_users_are_claimed_by_pld_with_the_generic_bound_beside_it() -> None:
    made = claim(Mechanism(8.0, 0.05, 200, 4), 1e-5)
    assert made.accountant == "pld"
    assert made.note == "PRV counts single records, so PLD's bound is claimed"
    assert made.second_opinion is not None
    assert (made.second_opinion.accountant, made.second_opinion.note) == ("pld", GENERIC)
    assert made.rdp.note == GENERIC
    assert made.epsilon <= made.second_opinion.upper <= made.rdp.upper
    assert made.agrees


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
    assert made.epsilon == made.rdp.upper


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


def test_without_noise_nothing_is_claimed_and_without_releases_nothing_is_lost() -> None:
    loud = claim(Mechanism(0.0, 0.1, 10), 1e-5)
    assert math.isinf(loud.epsilon)
    assert loud.agrees
    silent = claim(Mechanism(1.0, 0.1, 0), 1e-5)
    assert silent.second_opinion is not None
    assert (silent.epsilon, silent.second_opinion.upper, silent.rdp.upper) == (0, 0, 0)
