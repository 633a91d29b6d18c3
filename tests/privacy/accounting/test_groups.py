"""Users with several records: the tight bound, the generic one, and both against integrals."""

from __future__ import annotations

import math
from typing import Any

import pytest

from privacy.accounting import AccountingError, Mechanism, epsilon
from privacy.accounting import pld as pld_module
from privacy.accounting.bounds import generic_group_bound
from privacy.accounting.group import group_upper, log_factor
from privacy.accounting.pld import pld_upper
from tests.privacy.accounting_reference import divergence, gaussian_delta, gaussian_epsilon, user


@pytest.mark.parametrize(("sigma", "q", "group"), [(1.0, 0.04, 3), (3.0, 0.2, 5), (0.7, 0.01, 2)])
def test_one_composition_by_integration(sigma: float, q: float, group: int) -> None:
    upper = epsilon(Mechanism(sigma, q, 1, group), 1e-5, "pld").upper
    assert divergence(sigma, user(group, q), upper, "remove") <= 1e-5 * (1 + 1e-4)
    assert divergence(sigma, user(group, q), upper, "add") <= 1e-5 * (1 + 1e-4)
    assert divergence(sigma, user(group, q), upper - 0.02, "remove") > 1e-5


def test_a_user_with_one_record_is_a_record() -> None:
    from dp_accounting import dp_event
    from dp_accounting.pld import PLDAccountant

    mixture = dp_event.MixtureOfGaussiansDpEvent(2.0, [0.0, 1.0], [0.99, 0.01])
    theirs = PLDAccountant(value_discretization_interval=5e-4).compose(mixture, 1000).get_epsilon(1e-5)
    assert epsilon(Mechanism(2.0, 0.01, 1000, 1), 1e-5, "pld").upper == pytest.approx(theirs, abs=2e-3)


def test_more_records_spend_more_and_less_than_the_generic_bound() -> None:
    tight = [epsilon(Mechanism(8.0, 0.05, 500, group), 1e-5, "pld").upper for group in (1, 2, 3, 6)]
    assert tight == sorted(tight)
    assert tight[1] > 1.5 * tight[0]
    for group, upper in zip((2, 3, 6), tight[1:], strict=True):
        mechanism = Mechanism(8.0, 0.05, 500, group)
        by_pld, by_rdp = generic_group_bound(mechanism, 1e-5, "pld"), epsilon(mechanism, 1e-5, "rdp")
        assert upper <= by_pld.upper <= by_rdp.upper
        assert by_rdp.note == "generic group bound"


@pytest.mark.parametrize("name", ["prv", "pld", "rdp"])
def test_without_sampling_a_group_is_a_larger_sensitivity(name: Any) -> None:
    exact = gaussian_epsilon(12.0 / (3 * math.sqrt(10)), 1e-6)
    upper = epsilon(Mechanism(12.0, 1.0, 10, 3), 1e-6, name).upper
    assert exact <= upper <= exact * 1.15
    assert name == "rdp" or upper <= exact + 0.02


def test_records_never_drawn_together_are_left_out_soundly(monkeypatch: pytest.MonkeyPatch) -> None:
    mechanism = Mechanism(8.0, 0.01, 200, 40)
    drawn = pld_module._most_drawn(mechanism, 1e-5, 40.0)
    assert 5 < drawn < 40
    cut = pld_upper(mechanism, 1e-5, coarser=2.0)
    monkeypatch.setattr(pld_module, "_most_drawn", lambda mechanism, delta, margin: mechanism.group)
    whole = pld_upper(mechanism, 1e-5, coarser=2.0)
    assert whole - 1e-3 <= cut <= whole + 5e-3


def test_nothing_is_left_out_when_epsilon_outgrows_the_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    margins = []
    true = pld_module._most_drawn

    def seen(mechanism: Mechanism, delta: float, margin: float) -> int:
        margins.append(margin)
        return true(mechanism, delta, margin)

    monkeypatch.setattr(pld_module, "_most_drawn", seen)
    upper = pld_upper(Mechanism(2.0, 0.05, 200, 25), 1e-5, coarser=8.0)
    assert upper > 40
    assert margins[-1] >= upper or true(Mechanism(2.0, 0.05, 200, 25), 1e-5, margins[-1]) == 25


@pytest.mark.parametrize(("value", "group"), [(0.0, 4), (1e-9, 4), (0.7, 2), (2.0, 5)])
def test_the_factor_of_the_generic_bound(value: float, group: int) -> None:
    summed = math.fsum(math.exp(index * value) for index in range(group))  # the geometric series
    assert log_factor(value, group) == pytest.approx(math.log(summed), rel=1e-6)


def test_the_generic_bound_is_the_smallest_that_holds() -> None:
    sigma, group, delta = 4.0, 3, 1e-5
    upper = group_upper(lambda value: math.log(gaussian_delta(sigma, value)), group, delta)

    def spent(value: float) -> float:
        return gaussian_delta(sigma, value) * (math.expm1(group * value) / math.expm1(value))

    assert spent(upper / group) <= delta * (1 + 1e-9)
    assert spent(upper / group * 0.999) > delta
    assert upper >= gaussian_epsilon(sigma / group, delta)


def test_a_group_that_nothing_bounds_is_an_error() -> None:
    with pytest.raises(AccountingError, match="no group bound holds for 7 records"):
        group_upper(lambda value: -5.0, 7, 1e-5)


def test_the_prv_accountant_refuses_users() -> None:
    with pytest.raises(AccountingError, match="counts one record, not a user's 5"):
        epsilon(Mechanism(1.0, 0.1, 10, 5), 1e-5, "prv")
