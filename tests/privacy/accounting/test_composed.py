"""Two trainings on the same records: what they release together."""

from __future__ import annotations

import math

import pytest

from privacy.accounting import AccountingError, Mechanism, claim, claim_all
from privacy.accounting.bounds import epsilon
from tests.privacy.accounting_reference import divergence_twice, gaussian_epsilon

DELTA = 1e-5
EIGHT = Mechanism(0.6817, 0.07399, 41)


def test_a_run_and_the_same_again_are_one_run_of_twice_the_steps() -> None:
    twice = claim(Mechanism(0.6817, 0.07399, 82), DELTA)
    assert claim_all([EIGHT, EIGHT], DELTA).epsilon == twice.epsilon
    assert twice.epsilon > claim(EIGHT, DELTA).epsilon + 1


def test_one_run_is_claimed_as_ever() -> None:
    assert claim_all([EIGHT], DELTA).epsilon == claim(EIGHT, DELTA).epsilon
    idle = Mechanism(1.0, 0.5, 0)
    assert claim_all([EIGHT, idle], DELTA).epsilon == claim(EIGHT, DELTA).epsilon
    assert claim_all([idle, idle], DELTA).epsilon == 0


@pytest.mark.parametrize(("first", "second"), [((2.0, 4), (3.0, 1)), ((1.0, 1), (5.0, 10))])
def test_gaussians_without_sampling_compose_exactly(first: tuple[float, int], second: tuple[float, int]) -> None:
    precision = sum(steps / sigma**2 for sigma, steps in (first, second))
    found = claim_all([Mechanism(sigma, 1.0, steps) for sigma, steps in (first, second)], DELTA)
    truth = gaussian_epsilon(precision**-0.5, DELTA)
    assert truth <= found.epsilon <= truth * 1.01 + 0.01
    assert found.lower is not None
    assert found.lower <= truth


@pytest.mark.parametrize(("one", "two"), [((1.0, 0.1), (0.8, 0.3)), ((0.7, 0.2), (2.0, 0.5))])
def test_two_unlike_steps_are_bounded_from_both_sides(one: tuple[float, float], two: tuple[float, float]) -> None:
    """Against an integral of ours: every upper bound holds, and PRV's lower end does not lie above the truth."""
    found = claim_all([Mechanism(*one, 1), Mechanism(*two, 1)], DELTA)
    deltas = [divergence_twice(*one, found.epsilon, way, two) for way in ("remove", "add")]
    assert max(deltas) <= DELTA
    assert max(divergence_twice(*one, found.epsilon * 0.97 - 0.02, way, two) for way in ("remove", "add")) > DELTA
    assert found.agrees
    assert found.second_opinion is not None
    assert max(divergence_twice(*one, found.second_opinion.upper, way, two) for way in ("remove", "add")) <= DELTA
    assert found.rdp.upper >= found.second_opinion.upper


def test_the_whole_is_more_than_each_part_and_less_than_their_sum() -> None:
    other = Mechanism(1.2, 0.2, 60)
    parts = [epsilon(each, DELTA).upper for each in (EIGHT, other)]
    for accountant in ("prv", "pld", "rdp"):
        found = claim_all([EIGHT, other], DELTA, accountant)
        assert found.accountant == accountant
        assert max(parts) < found.epsilon < 1.35 * sum(parts)
        assert found.agrees
    assert claim_all([EIGHT, other], DELTA).epsilon < sum(parts)  # numerical composition beats adding up


def test_sampled_and_unsampled_runs_compose() -> None:
    shuffled = Mechanism(4.0, 1.0, 3)
    found = claim_all([EIGHT, shuffled], DELTA)
    assert max(claim(each, DELTA).epsilon for each in (EIGHT, shuffled)) < found.epsilon
    assert found.epsilon <= found.rdp.upper
    assert found.agrees


def test_users_compose_by_pld_and_the_group_bound() -> None:
    one, two = Mechanism(2.0, 0.05, 50, 3), Mechanism(1.5, 0.1, 20, 2)
    found = claim_all([one, two], DELTA)
    assert found.accountant == "pld"
    assert found.epsilon > max(claim(each, DELTA).epsilon for each in (one, two))
    assert found.epsilon <= found.rdp.upper
    twice = claim_all([one, Mechanism(2.0, 0.05, 51, 3)], DELTA)
    assert twice.epsilon == pytest.approx(claim(Mechanism(2.0, 0.05, 101, 3), DELTA).epsilon, rel=1e-3)


def test_one_run_without_noise_undoes_the_other() -> None:
    assert claim_all([EIGHT, Mechanism(0.0, 0.1, 1)], DELTA).epsilon == math.inf
    with pytest.raises(AccountingError, match="no mechanism is given"):
        claim_all([], DELTA)
