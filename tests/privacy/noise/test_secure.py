"""Noise from the operating system: its law, its grid, and that no seed reaches it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from harness.errors import UsageError
from privacy.noise import SecureNoise, SecureUniforms, discrete
from privacy.noise.discrete import SIGMA_BITS, discrete_gaussian
from privacy.noise.secure import system_words

ALPHA = 1e-4


def seeded(seed: int) -> discrete.Words:
    """Words of a test, the same each time."""
    generator = np.random.default_rng(seed)

    def words(count: int) -> NDArray[np.uint64]:
        return generator.integers(0, 2**64, count, dtype=np.uint64)

    return words


def test_numbers_are_normal_far_into_the_tail() -> None:
    drawn = discrete_gaussian(2_000_000, seeded(1)) / 2.0**SIGMA_BITS
    assert stats.kstest(drawn, "norm").pvalue > ALPHA
    for far in (2.0, 3.0, 4.0):
        beyond = int((np.abs(drawn) > far).sum())
        assert stats.binomtest(beyond, len(drawn), 2 * stats.norm.sf(far)).pvalue > ALPHA


def test_a_coarse_grid_has_exactly_the_discrete_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discrete, "SIGMA_BITS", 1)  # sigma 2, where it is far from a rounded normal number
    drawn = discrete_gaussian(400_000, seeded(2))
    values = np.arange(-40, 41)
    law = np.exp(-(values**2) / 8.0)
    expected = len(drawn) * law / law.sum()
    observed = np.asarray([(drawn == value).sum() for value in values])
    common = expected >= 20
    found = np.append(observed[common], observed[~common].sum())
    wanted = np.append(expected[common], expected[~common].sum())
    assert stats.chisquare(found, wanted, sum_check=False).pvalue > ALPHA


def test_coins_of_exp_fall_as_often_as_they_must() -> None:
    for numerator in (0, 1, 5, 8):
        coins = discrete._kept_exp(np.full(200_000, numerator, dtype=np.int64), 3, seeded(numerator))
        assert stats.binomtest(int(coins.sum()), len(coins), math.exp(-numerator / 8)).pvalue > ALPHA


def test_a_word_that_would_favour_a_remainder_is_drawn_again() -> None:
    given = [np.full(4, 2**64 - 1, dtype=np.uint64), np.full(4, 6, dtype=np.uint64)]
    assert discrete._one_in(4, 3, lambda count: given.pop(0)[:count]).all()
    assert given == []


def test_what_is_released_is_on_the_grid() -> None:
    deviation, numbers = 0.7, 1000
    held = torch.linspace(-3, 3, numbers, dtype=torch.float64)
    SecureNoise(numbers, 1.0).add(held, deviation, 0)
    raised = deviation / (1 - math.sqrt(numbers) / 2**SIGMA_BITS)
    steps = held.numpy() / (raised / 2**SIGMA_BITS)
    assert np.abs(steps - np.rint(steps)).max() < 1e-6


@pytest.mark.parametrize("value", [0.0, 3.0, 3.5, -41.5])
def test_a_number_is_released_on_a_grid_that_does_not_tell_it(value: float) -> None:
    """Counts move by a half: between the points of a grid of its own each of them would stand open."""
    noise = SecureNoise(100, 1.0)
    step = 10.0 * (1 + 2.0**-16) / (1 - 10 / 2**SIGMA_BITS) / 2**SIGMA_BITS
    assert abs(3.5 / step - round(3.5 / step)) > 0.1
    drawn = np.asarray([noise.number(value, 10.0) for _ in range(400)])
    assert np.abs(drawn / step - np.rint(drawn / step)).max() < 1e-5
    assert stats.kstest((drawn - value) / 10, "norm").pvalue > 1e-9  # not seeded


def test_noise_of_a_sum_has_the_stated_deviation() -> None:
    before = torch.full((300, 1000), 5.0)
    after = before.clone()
    SecureNoise(before.numel(), 1.0).add(after, 0.25, 0)
    assert stats.kstest(((after - before) / 0.25).flatten().numpy(), "norm").pvalue > ALPHA
    assert after.dtype == torch.float32
    assert after.shape == before.shape


def test_no_seed_reaches_noise_or_coins() -> None:
    found, coins = [], []
    for _ in range(2):
        torch.manual_seed(0)
        np.random.seed(0)
        held = torch.zeros(8)
        SecureNoise(8, 1.0).add(held, 1.0, 0)
        found.append(held.tolist())
        coins.append(SecureUniforms().random(4).tolist())
    assert found[0] != found[1]
    assert coins[0] != coins[1]


def test_coins_are_uniform_and_below_one() -> None:
    drawn = SecureUniforms().random(200_000)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert stats.kstest(drawn, "uniform").pvalue > 1e-9  # not seeded
    assert len(set(system_words(1000).tolist())) == 1000


def test_no_noise_leaves_the_sum_alone_and_what_is_not_finite_stays_so() -> None:
    held = torch.tensor([1.234567, math.inf, math.nan])
    SecureNoise(3, 1.0).add(held, 0.0, 0)
    assert held[0] == torch.tensor(1.234567)
    SecureNoise(3, 1.0).add(held, 1.0, 0)
    assert held.isfinite().tolist() == [True, False, False]


def test_more_numbers_than_the_grid_carries_are_refused() -> None:
    with pytest.raises(UsageError, match="too coarse to be accounted for; lower the noise"):
        SecureNoise(10**9, 2000.0)
