"""Noise for a target: enough, and hardly more."""

from __future__ import annotations

import math
from typing import Any

import pytest

from privacy.accounting import AccountantName, AccountingError, Mechanism, calibrate, claim, epsilon
from privacy.accounting import calibration as calibration_module
from tests.privacy.accounting_reference import gaussian_epsilon


@pytest.mark.parametrize("name", ["prv", "pld", "rdp"])
@pytest.mark.parametrize(
    ("target", "rate", "compositions"), [(1.0, 0.1, 100), (8.0, 0.01, 1000), (3.0, 0.02, 10_000), (0.2, 0.01, 300)]
)
def test_the_target_is_kept_and_used(target: float, rate: float, compositions: int, name: AccountantName) -> None:
    noise = calibrate(target, 1e-5, rate, compositions, accountant=name)
    assert noise == round(noise, 4)
    upper = epsilon(Mechanism(noise, rate, compositions), 1e-5, name).upper
    assert target * 0.995 - 2e-3 <= upper <= target
    assert epsilon(Mechanism(noise * 0.99, rate, compositions), 1e-5, name).upper > target


def test_the_claim_keeps_to_the_target() -> None:
    made = claim(Mechanism(calibrate(2.0, 1e-6, 0.05, 400), 0.05, 400), 1e-6)
    assert made.accountant == "prv"
    assert 1.98 <= made.epsilon <= 2.0


def test_without_sampling_the_exact_noise_is_found() -> None:
    noise = calibrate(1.5, 1e-5, 1.0, 30, group=2)
    exact = gaussian_epsilon(noise / (2 * math.sqrt(30)), 1e-5)
    assert 1.48 <= exact <= 1.5


def test_users_need_more_noise() -> None:
    noise = calibrate(4.0, 1e-5, 0.05, 200, group=3)
    upper = epsilon(Mechanism(noise, 0.05, 200, 3), 1e-5, "pld").upper
    assert 3.95 <= upper <= 4.0
    assert noise > 2 * calibrate(4.0, 1e-5, 0.05, 200, accountant="pld")


def test_where_an_accountant_fails_the_next_is_met() -> None:
    noise = calibrate(3.0, 1e-20, 0.01, 1000)
    made = claim(Mechanism(noise, 0.01, 1000), 1e-20)
    assert made.accountant == "rdp"
    assert 2.98 <= made.epsilon <= 3.0


def test_few_full_evaluations_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counted(mechanism: Mechanism, delta: float, name: AccountantName) -> Any:
        asked.append(name)
        return epsilon(mechanism, delta, name)

    monkeypatch.setattr(calibration_module, "epsilon", counted)
    calibrate(8.0, 1e-5, 0.02, 2000)
    assert 1 <= asked.count("prv") <= 3
    calibrate(1.0, 1e-5, 0.1, 2000, accountant="pld")
    assert 1 <= asked.count("pld") <= 3


@pytest.mark.parametrize("target", [0.0, -1.0, math.nan, math.inf])
def test_a_target_that_is_none_is_refused(target: float) -> None:
    with pytest.raises(AccountingError, match=r"target epsilon is .*positive number"):
        calibrate(target, 1e-5, 0.1, 100)


def test_a_target_out_of_reach_says_what_to_change() -> None:
    with pytest.raises(AccountingError) as caught:
        calibrate(0.01, 1e-6, 1.0, 100_000)
    assert str(caught.value) == (
        "epsilon 0.01 at delta 1e-06 is out of reach in 100000 compositions at rate 1: no noise multiplier up to 10000 "
        "suffices; take fewer steps, a smaller batch or a larger epsilon"
    )


def test_no_steps_no_noise() -> None:
    with pytest.raises(AccountingError, match="0 compositions"):
        calibrate(1.0, 1e-5, 0.1, 0)
    with pytest.raises(AccountingError, match="rate is 2"):
        calibrate(1.0, 1e-5, 2.0, 10)


def test_a_generous_target_still_gets_noise() -> None:
    noise = calibrate(300.0, 1e-5, 0.05, 20)
    assert 0 < noise < 0.5
    assert claim(Mechanism(noise, 0.05, 20), 1e-5).epsilon <= 300
