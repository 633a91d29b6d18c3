"""Poisson sampling from one part after the other; banded noise over as many steps is as private as it counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from privacy.accounting import epsilon
from privacy.noise.banded import coefficients, column_norm
from privacy.sampling import CyclicPoissonSampling, LogicalBatches, SamplingError, Shard
from tests.privacy.accounting_reference import Direction, divergence_twice

ALPHA = 1e-4


@pytest.mark.parametrize("world", [1, 3])
def test_a_record_is_in_the_steps_of_its_part_only_each_at_the_rate(world: int) -> None:
    sampling = CyclicPoissonSampling(40, 5, 6000, 4, seed=2)
    inside = np.zeros((6000, 40), dtype=bool)
    for rank in range(world):
        generator = np.random.default_rng([3, rank])
        for step, drawn in LogicalBatches(sampling, shard=Shard(rank, world), generator=generator):
            inside[step, drawn] = True
    phases = [{int(step) % 4 for step in np.flatnonzero(column)} for column in inside.T]
    assert all(len(phase) == 1 for phase in phases)
    assert np.bincount([phase.pop() for phase in phases]).tolist() == [10] * 4
    counts = inside.sum(axis=0)  # of 1500 steps each
    squares = (counts - 1500 * 0.5) ** 2 / (1500 * 0.25)
    assert stats.chi2.sf(squares.sum(), 40) > ALPHA
    assert inside.sum(axis=1).mean() == pytest.approx(5, abs=0.1)


def test_parts_mix_records_whose_classes_alternate() -> None:
    sampling = CyclicPoissonSampling(1000, 500, 2, 2, seed=0)
    drawn = sampling.draw(0, np.random.default_rng(0), Shard())
    assert len(drawn) == 500
    assert 200 < (drawn % 2).sum() < 300


@pytest.mark.parametrize(("spent", "rounds"), [(None, 5), (0, 0), (1, 1), (4, 1), (5, 2)])
def test_the_accountant_counts_rounds_at_the_rate_of_a_part(spent: int | None, rounds: int) -> None:
    mechanism = CyclicPoissonSampling(40, 5, 18, 4).mechanism(1.5, spent)
    assert (mechanism.rate, mechanism.compositions, mechanism.amplified) == (0.5, rounds, True)


@pytest.mark.parametrize("direction", ["remove", "add"])
def test_what_is_released_is_as_private_as_two_sampled_gaussians(direction: Direction) -> None:
    """Four steps of banded noise over 2, in which a record may be in the first and the third: delta by simulation."""
    q, sigma, bands, steps, draws = 0.3, 0.8, 2, 4, 400_000
    matrix = np.eye(steps) + np.diag([coefficients(bands)[1]] * (steps - 1), -1)
    inverse = np.linalg.inv(matrix) * sigma * column_norm(bands)
    rng = np.random.default_rng(0)
    coins = rng.random((draws, 2)) < q
    released = rng.normal(size=(draws, steps)) @ inverse.T
    if direction == "remove":
        released[:, [0, 2]] += coins
    precise = np.linalg.inv(inverse @ inverse.T)
    terms = []
    for first in (0, 1):
        for third in (0, 1):
            moved = np.asarray([first, 0, third, 0], dtype=float)
            chance = math.log((q if first else 1 - q) * (q if third else 1 - q))
            terms.append(chance + released @ precise @ moved - moved @ precise @ moved / 2)
    loss = logsumexp(terms, axis=0) * (1 if direction == "remove" else -1)
    for at in (0.5, 1.5):
        gains = np.maximum(0.0, -np.expm1(at - loss))
        error = gains.std() / math.sqrt(draws)
        assert gains.mean() == pytest.approx(divergence_twice(sigma, q, at, direction), abs=5 * error)


def test_its_epsilon_is_between_those_of_poisson_and_of_a_known_order() -> None:
    def of(parts: int) -> float:
        return epsilon(CyclicPoissonSampling(800, 8, 400, parts).mechanism(1.0), 1e-5, "prv").upper

    found = [of(parts) for parts in (1, 4, 16, 100)]
    assert found == sorted(found)
    assert CyclicPoissonSampling(800, 8, 400, 100).mechanism(1.0).rate == 1.0


def test_what_cannot_be_drawn_or_counted_is_refused() -> None:
    with pytest.raises(SamplingError, match="9 parts of 40 records hold no batches of 5; give at most 8 bands"):
        CyclicPoissonSampling(40, 5, 10, 9)
    with pytest.raises(SamplingError, match="accounted for single records"):
        CyclicPoissonSampling(40, 5, 10, 4).mechanism(1.0, group=2)
