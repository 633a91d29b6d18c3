"""Batches with a cap: against exact integrals of tiny mechanisms, dp_accounting's event, and what must order them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binom, norm

from privacy.accounting import AccountingError, Mechanism, calibrate_mechanism, claim, claim_all, epsilon
from privacy.accounting.truncated import parts_of
from tests.privacy.accounting_reference import Direction, divergence, record


def capped(sigma: float, q: float, cap: int, records: int, steps: int = 1) -> Mechanism:
    return Mechanism(sigma, q, steps, max_batch=cap, records=records)


def exact(sigma: float, q: float, cap: int, others: int, epsilon_: float, direction: Direction) -> float:
    """Delta of one composition in the worst data: the others' gradients are -1, the record's is +1."""
    x = np.linspace(-cap - 12 * sigma, 12 * sigma + 2, 60_001)
    without, with_record = np.zeros_like(x), np.zeros_like(x)
    for drawn in range(others + 1):
        chance = binom.pmf(drawn, others, q)
        kept = min(drawn, cap)
        inside = q * min(1.0, cap / (drawn + 1))  # drawn, and not cut away again
        plain = norm.pdf(x, -kept, sigma)
        moved = norm.pdf(x, -min(drawn, cap - 1) + 1, sigma)
        without += chance * plain
        with_record += chance * ((1 - inside) * plain + inside * moved)
    one, other = (with_record, without) if direction == "remove" else (without, with_record)
    return float(np.sum(np.maximum(0.0, one - math.exp(epsilon_) * other)) * (x[1] - x[0]))


SETTINGS = [(0.5, 0.4, 2, 6), (1.0, 0.3, 3, 8), (2.0, 0.5, 1, 4), (0.3, 0.2, 2, 5)]


@pytest.mark.parametrize(("sigma", "q", "cap", "records"), SETTINGS)
@pytest.mark.parametrize("accountant", ["pld", "rdp"])
def test_no_bound_is_below_the_exact_one(sigma: float, q: float, cap: int, records: int, accountant: str) -> None:
    for delta in (1e-2, 1e-4):
        bound = epsilon(capped(sigma, q, cap, records), delta, accountant).upper  # type: ignore[arg-type]
        for others in (records - 1, records):  # one is removed, or one is added
            for direction in ("remove", "add"):
                assert exact(sigma, q, cap, others, bound, direction) <= delta * (1 + 1e-6)


@pytest.mark.parametrize(("sigma", "q", "cap", "records"), SETTINGS)
def test_the_bound_is_that_of_the_mixture_whose_part_is_told(sigma: float, q: float, cap: int, records: int) -> None:
    delta = 1e-3
    bound = epsilon(capped(sigma, q, cap, records), delta, "pld").upper
    told = max(
        sum(part.weight * divergence(part.noise, record(part.rate), bound, direction) for part in parts)
        for parts in parts_of(capped(sigma, q, cap, records))
        for direction in ("remove", "add")
    )
    assert 0.97 * delta <= told <= delta * (1 + 1e-6)


def test_the_chances_of_the_parts_are_those_of_simulated_draws() -> None:
    q, cap, records, draws = 0.3, 4, 11, 200_000
    rng = np.random.default_rng(0)
    drawn = rng.random((draws, records)) < q
    reached = drawn[:, 1:].sum(axis=1) >= cap
    ranks = np.argsort(np.argsort(np.where(drawn, rng.random(drawn.shape), 2.0), axis=1), axis=1)
    inside = drawn[:, 0] & (ranks[:, 0] < cap)
    below, at_cap = parts_of(capped(1.0, q, cap, records))[0]
    assert at_cap.weight == pytest.approx(reached.mean(), abs=0.005)
    assert at_cap.rate == pytest.approx(inside[reached].mean(), abs=0.01)
    assert below.rate == pytest.approx(inside[~reached].mean(), abs=0.005)
    assert (below.noise, at_cap.noise) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("records", "q", "cap", "sigma", "steps"), [(1000, 0.1, 120, 1.0, 100), (50, 0.2, 12, 2.0, 30)]
)
def test_it_is_at_most_the_published_event_and_at_least_poisson(
    records: int, q: float, cap: int, sigma: float, steps: int
) -> None:
    from dp_accounting import dp_event
    from dp_accounting.pld import PLDAccountant

    event = dp_event.TruncatedSubsampledGaussianDpEvent(records + 1, q, cap, sigma)
    theirs = PLDAccountant(value_discretization_interval=1e-3).compose(event, steps).get_epsilon(1e-5)
    ours = epsilon(capped(sigma, q, cap, records, steps), 1e-5, "pld").upper
    assert epsilon(Mechanism(sigma, q, steps), 1e-5, "pld").upper < ours <= theirs * 1.001


def test_a_higher_cap_costs_less_and_the_highest_nothing() -> None:
    found = [epsilon(capped(1.0, 0.1, cap, 500, 50), 1e-5, "pld").upper for cap in (50, 60, 75, 499)]
    assert all(lower > higher for lower, higher in pairwise(found[:3]))
    assert found[-1] == pytest.approx(epsilon(Mechanism(1.0, 0.1, 50), 1e-5, "pld").upper, rel=1e-3)


def test_the_claim_is_of_pld_with_rdp_beside_it_and_says_why() -> None:
    made = claim(capped(1.0, 0.1, 70, 500, 20), 1e-5)
    assert made.accountant == "pld"
    assert made.agrees
    assert made.second_opinion is None
    assert made.epsilon < made.rdp.upper < 1.5 * made.epsilon
    assert made.note == "PRV is not made for batches with a cap, so PLD's bound is claimed"
    asked = claim(capped(1.0, 0.1, 70, 500, 20), 1e-5, "pld")
    assert asked.note == "PRV cannot count it, so RDP's is the only second opinion"


def test_noise_is_calibrated_for_the_cap() -> None:
    asked = capped(1.0, 0.1, 60, 500, 20)
    noise = calibrate_mechanism(2.0, 1e-5, asked)
    assert 1.99 < claim(capped(noise, 0.1, 60, 500, 20), 1e-5).epsilon <= 2.0


def test_it_composes_with_other_trainings() -> None:
    one, other = capped(1.5, 0.1, 60, 500, 20), Mechanism(2.0, 0.05, 30)
    both = claim_all([one, other], 1e-5)
    assert both.accountant == "pld"
    assert max(claim(one, 1e-5).epsilon, claim(other, 1e-5).epsilon) < both.epsilon
    assert both.epsilon < both.rdp.upper
    twice = claim_all([one, one], 1e-5, "pld").epsilon
    assert twice == pytest.approx(claim(capped(1.5, 0.1, 60, 500, 40), 1e-5, "pld").epsilon, rel=5e-3)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"max_batch": 0, "records": 10}, "max_batch is 0 of 10 records"),
        ({"max_batch": 11, "records": 10}, "max_batch is 11 of 10 records"),
        ({"max_batch": 5}, "max_batch is 5 of None records"),
        ({"max_batch": 5, "records": 10, "group": 2}, "accounted for single records"),
        ({"max_batch": 5, "records": 10, "rate": 1.0}, "has no cap to keep to"),
    ],
)
def test_what_is_no_cap_is_refused(fields: dict[str, float], said: str) -> None:
    with pytest.raises(AccountingError, match=said):
        Mechanism(**({"noise_multiplier": 1.0, "rate": 0.1, "compositions": 1} | fields))  # type: ignore[arg-type]
