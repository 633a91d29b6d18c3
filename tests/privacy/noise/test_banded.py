"""Correlated noise: its matrix, how far a record can move it in any pattern, its covariance, and what it gains."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.linalg import toeplitz
from scipy.special import binom

from privacy.noise import BandedNoise, GeneratorNoise
from privacy.noise.banded import best_bands, coefficients, column_norm, final_ratio, noise_ratio
from privacy.sampling import Shard, ShuffledOnceSampling

Floats = npt.NDArray[np.float64]


def matrix(bands: int, steps: int, restarted: tuple[int, ...] = ()) -> Floats:
    """C, dense; the process began anew at the steps of `restarted`."""
    column = np.zeros(steps)
    column[: min(bands, steps)] = coefficients(bands)[:steps]
    dense = np.asarray(np.tril(toeplitz(column)), dtype=np.float64)
    for step in restarted:
        dense[step:, :step] = 0
    return dense


def most_moved(dense: Floats, patterns: list[tuple[int, ...]]) -> float:
    """Longest move of C G by a record that is in one of the patterns, with gradients of length 1."""
    worst = 0.0
    for steps in patterns:
        inner = dense[:, steps].T @ dense[:, steps]
        for signs in itertools.product((1.0, -1.0), repeat=len(steps)):
            worst = max(worst, float(np.asarray(signs) @ inner @ np.asarray(signs)))
    return math.sqrt(worst)


def once(place: int, per_epoch: int, epochs: int) -> tuple[int, ...]:
    return tuple(place + epoch * per_epoch for epoch in range(epochs))


def test_coefficients_are_those_of_the_square_root() -> None:
    places = np.arange(9)
    assert coefficients(9) == pytest.approx(binom(2 * places, places) / 4.0**places)
    whole = matrix(12, 12)
    assert whole @ whole == pytest.approx(np.tril(np.ones((12, 12))))


@pytest.mark.parametrize("bands", [2, 3, 4])
def test_no_record_moves_more_than_the_epochs_that_are_counted(bands: int) -> None:
    per_epoch, epochs = 4, 3
    patterns = [once(place, per_epoch, epochs) for place in range(per_epoch)]
    counted = math.sqrt(epochs) * column_norm(bands)
    assert most_moved(matrix(bands, 12), patterns) == pytest.approx(counted)
    for restarted in itertools.chain.from_iterable(itertools.combinations(range(12), count) for count in (1, 2)):
        assert most_moved(matrix(bands, 12, restarted), patterns) <= counted * (1 + 1e-12)


@pytest.mark.parametrize("bands", [2, 4])
def test_two_records_of_a_unit_move_at_most_twice_as_much(bands: int) -> None:
    per_epoch, epochs = 4, 2
    counted = 2 * math.sqrt(epochs) * column_norm(bands)
    pairs = [
        once(one, per_epoch, epochs) + once(other, per_epoch, epochs)
        for one in range(per_epoch)
        for other in range(per_epoch)
    ]
    assert most_moved(matrix(bands, 8), pairs) == pytest.approx(counted)  # when they share a step


def test_more_bands_than_an_epoch_or_a_new_order_would_move_more() -> None:
    counted = math.sqrt(2) * column_norm(5)
    assert most_moved(matrix(5, 8), [once(0, 4, 2)]) > counted * 1.01
    assert most_moved(matrix(3, 8), [(3, 4)]) > math.sqrt(2) * column_norm(3) * 1.1  # last of one, first of the next


def test_the_order_is_that_of_the_first_epoch_in_all() -> None:
    sampling = ShuffledOnceSampling(10, 3, 4, seed=7)
    generator = np.random.default_rng(0)
    epochs = [
        [sampling.draw(epoch * 4 + place, generator, Shard()).tolist() for place in range(4)] for epoch in range(4)
    ]
    assert sorted(itertools.chain.from_iterable(epochs[0])) == list(range(10))
    assert all(epoch == epochs[0] for epoch in epochs)
    mechanism = sampling.mechanism(2.0)
    assert (mechanism.rate, mechanism.compositions) == (1.0, 4)


@pytest.mark.parametrize("bands", [2, 3, 6])
def test_noise_has_the_covariance_of_the_inverse(bands: int) -> None:
    steps, numbers, deviation = 6, 40_000, 0.7
    noise = BandedNoise(bands, GeneratorNoise(torch.Generator().manual_seed(bands)))
    drawn = torch.zeros(steps, 2, numbers)
    for step in range(steps):
        for place in range(2):  # two parameters, each with a memory of its own
            noise.add(drawn[step, place], deviation, place)
    inverse = np.linalg.inv(matrix(bands, steps)) * deviation * column_norm(bands)
    expected = inverse @ inverse.T
    for place in range(2):
        found = np.cov(drawn[:, place].numpy())
        assert found == pytest.approx(expected, abs=6 * expected.max() / math.sqrt(numbers))
    between = np.corrcoef(drawn[:, 0].numpy().ravel(), drawn[:, 1].numpy().ravel())[0, 1]
    assert abs(between) < 5 / math.sqrt(steps * numbers)


def test_noise_is_added_to_what_is_there() -> None:
    one, other = torch.full((50,), 3.0), torch.zeros(50)
    for held in (one, other):
        BandedNoise(4, GeneratorNoise(torch.Generator().manual_seed(0))).add(held, 1.0, 0)
    torch.testing.assert_close(one - 3, other)


@pytest.mark.parametrize(("bands", "steps"), [(2, 5), (4, 30), (16, 200)])
def test_error_ratios_are_those_of_dense_matrices(bands: int, steps: int) -> None:
    sums = np.tril(np.ones((steps, steps)))
    ours = sums @ np.linalg.inv(matrix(bands, steps)) * column_norm(bands)
    assert noise_ratio(bands, steps) == pytest.approx(np.linalg.norm(ours) / np.linalg.norm(sums))
    assert final_ratio(bands, steps) == pytest.approx(np.linalg.norm(ours[-1]) / math.sqrt(steps))


def test_the_sums_of_released_noise_shrink_as_they_must() -> None:
    steps, numbers, bands = 200, 400, 16
    noise = BandedNoise(bands, GeneratorNoise(torch.Generator().manual_seed(1)))
    total = torch.zeros(numbers)
    for _ in range(steps):
        noise.add(total, 1.0, 0)
    found = float(total.square().mean()) / steps
    assert found == pytest.approx(final_ratio(bands, steps) ** 2, rel=5 * math.sqrt(2 / numbers))
    assert found < 0.15


@pytest.mark.parametrize(("steps", "most"), [(500, 0.34), (1000, 0.33), (2000, 0.32)])
def test_long_runs_need_a_third_of_the_noise(steps: int, most: float) -> None:
    assert best_bands(steps, 100) == 16
    assert noise_ratio(16, steps) < most


def test_chosen_bands_keep_to_the_epoch_and_to_the_best() -> None:
    assert best_bands(500, 5) == 5
    assert best_bands(6, 6) == min(range(2, 7), key=lambda bands: noise_ratio(bands, 6))
    assert noise_ratio(1, 50) == pytest.approx(1.0)
