"""Balls in bins: against integrals over two and three bins, simulation, closed forms and other samplings."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom

from privacy.accounting import AccountingError, Mechanism, calibrate_mechanism, claim, claim_all, epsilon
from privacy.accounting.bins import bins_interval, bins_renyi, epoch_ratio
from tests.privacy.accounting_reference import Direction, gaussian_epsilon

Floats = npt.NDArray[np.float64]


def of(sigma: float, bins: int, epochs: int = 1) -> Mechanism:
    return Mechanism(sigma, 1 / bins, epochs, bins=bins)


def exact(sigma: float, bins: int, epsilon_: float, direction: Direction) -> float:
    """Delta of one epoch, summed on a grid over the outputs of all its steps."""
    points = {2: 1501, 3: 221}[bins]
    x = np.linspace(-9 * sigma, 9 * sigma + 1, points)
    axes = np.meshgrid(*[x] * bins, indexing="ij", sparse=True)
    without = (
        np.exp(-sum(axis**2 for axis in axes) / (2 * sigma**2))
        * ((x[1] - x[0]) / sigma / math.sqrt(2 * math.pi)) ** bins
    )
    ratio = sum(np.exp((axis - 0.5) / sigma**2) for axis in axes) / bins
    gap = ratio - math.exp(epsilon_) if direction == "remove" else 1 - math.exp(epsilon_) * ratio
    return float((without * np.maximum(0.0, gap)).sum())


@pytest.mark.parametrize("bins", [2, 3])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("delta", [1e-2, 1e-5])
def test_the_bound_of_an_epoch_is_the_exact_one_or_just_above(sigma: float, bins: int, delta: float) -> None:
    bound = epsilon(of(sigma, bins), delta, "pld").upper
    found = max(exact(sigma, bins, bound, direction) for direction in ("remove", "add"))
    assert found == pytest.approx(delta, rel=0.02)
    assert found <= delta * (1 + 1e-3)  # what the grid of the reference leaves


@pytest.mark.parametrize(("sigma", "bins", "epochs"), [(0.8, 7, 1), (1.0, 10, 3), (0.7, 25, 2)])
def test_simulated_deltas_are_not_above_the_bound(sigma: float, bins: int, epochs: int) -> None:
    rng, draws, delta = np.random.default_rng(0), 400_000, 1e-3
    bound = epsilon(of(sigma, bins, epochs), delta, "pld").upper
    for shift in (1.0, 0.0):  # with the record, and without
        loss = np.zeros(draws)
        for _ in range(epochs):
            x = rng.normal(0, sigma, (draws, bins))
            x[:, 0] += shift  # which bin it is changes nothing
            ratio = np.log(np.exp((x - 0.5) / sigma**2).mean(axis=1))
            loss += ratio if shift else -ratio
        gains = np.maximum(0.0, -np.expm1(bound - loss))
        error = gains.std() / math.sqrt(draws)
        assert gains.mean() <= delta + 4 * error
        if shift:
            assert gains.mean() >= delta * 0.97 - 4 * error  # and it is tight


def test_means_are_kept_whatever_the_bins() -> None:
    for bins in (1, 2, 3, 13, 100):
        interval = bins_interval(of(0.8, bins)) if bins > 1 else 5e-3
        epoch = epoch_ratio(0.8, bins, interval)
        logs = (epoch.low + np.arange(len(epoch.masses))) * interval
        assert epoch.masses.sum() + epoch.zero == pytest.approx(1, abs=1e-11)
        assert (epoch.masses * np.exp(logs)).sum() + epoch.lost == pytest.approx(1, abs=1e-11)
        variance = math.expm1(0.8**-2) / bins
        assert (epoch.masses * np.exp(2 * logs)).sum() - 1 == pytest.approx(variance, rel=5e-3)
        assert (epoch.masses * np.exp(2 * logs)).sum() - 1 >= variance  # mass is spread, never drawn together


def test_one_bin_is_the_gaussian() -> None:
    assert epsilon(Mechanism(1.3, 1.0, 1), 1e-5, "pld").upper == pytest.approx(gaussian_epsilon(1.3, 1e-5), rel=1e-3)
    interval = 5e-3
    epoch = epoch_ratio(1.3, 1, interval)
    logs = (epoch.low + np.arange(len(epoch.masses))) * interval
    at = gaussian_epsilon(1.3, 1e-5)
    delta = float((epoch.masses * np.maximum(0.0, np.exp(logs) - math.exp(at))).sum())
    assert delta == pytest.approx(1e-5, rel=1e-2)


def test_renyi_divergences_have_their_closed_forms() -> None:
    sigma, bins = 0.9, 12
    second = math.log((math.exp(sigma**-2) + bins - 1) / bins)
    third = (
        math.log((math.exp(3 * sigma**-2) + 3 * (bins - 1) * math.exp(sigma**-2) + (bins - 1) * (bins - 2)) / bins**2)
        / 2
    )
    adding = [1 / (2 * sigma**2) + (order - 1) / (2 * bins * sigma**2) for order in (2, 3)]
    found = bins_renyi(of(sigma, bins), np.asarray([2.0, 3.0, 400.0]))
    assert found[:2] == pytest.approx([max(second, adding[0]), max(third, adding[1])])
    assert found[2] == pytest.approx(400 / (2 * sigma**2))


def test_renyi_of_adding_is_not_above_its_bound() -> None:
    sigma, bins, order = 1.0, 5, 4
    x = np.random.default_rng(1).normal(0, sigma, (1_000_000, bins))
    ratio = np.exp((x - 0.5) / sigma**2).mean(axis=1)
    simulated = math.log((ratio ** (1 - order)).mean()) / (order - 1)
    assert simulated < 1 / (2 * sigma**2) + (order - 1) / (2 * bins * sigma**2)


@pytest.mark.parametrize(("sigma", "bins", "epochs"), [(1.0, 14, 3), (0.68, 14, 3), (0.8, 1000, 5), (3.0, 14, 3)])
def test_it_costs_less_than_poisson_and_than_a_known_order(sigma: float, bins: int, epochs: int) -> None:
    ours = epsilon(of(sigma, bins, epochs), 1e-5, "pld").upper
    poisson = epsilon(Mechanism(sigma, 1 / bins, bins * epochs), 1e-5, "pld").upper
    assert 0.5 * poisson < ours < poisson
    assert ours < epsilon(Mechanism(sigma, 1.0, epochs), 1e-5, "pld").upper
    assert ours < epsilon(of(sigma, bins, epochs), 1e-5, "rdp").upper


def test_the_claim_is_of_pld_and_composes() -> None:
    made = claim(of(1.0, 14, 3), 1e-5)
    assert (made.accountant, made.agrees, made.second_opinion) == ("pld", True, None)
    assert made.note == "PRV is not made for balls in bins, so PLD's bound is claimed"
    both = claim_all([of(1.0, 14, 3), Mechanism(1.0, 0.1, 20)], 1e-5)
    assert made.epsilon < both.epsilon < both.rdp.upper
    noise = calibrate_mechanism(2.0, 1e-5, of(1.0, 14, 3))
    assert 1.99 < claim(of(noise, 14, 3), 1e-5).epsilon <= 2.0


def test_records_of_a_bin_are_binomial() -> None:
    """The marginal of a batch is that of Poisson sampling, so one step alone tells nothing apart."""
    from privacy.sampling import BallsInBinsSampling, Shard

    sampling = BallsInBinsSampling(30, 5, 4000)
    generator = np.random.default_rng(5)
    sizes = [len(sampling.draw(epoch * 6, generator, Shard())) for epoch in range(4000)]
    observed = np.bincount(sizes, minlength=31)[:12]
    expected = 4000 * binom.pmf(np.arange(12), 30, 1 / 6)
    assert (((observed - expected) ** 2) / expected)[expected > 20].sum() < 40


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"bins": 0}, "bins is 0"),
        ({"bins": 4}, "rate is 0.1; with 4 bins it is 1/4"),
        ({"bins": 4, "rate": 0.25, "max_batch": 5, "records": 10}, "without a cap"),
        ({"bins": 4, "rate": 0.25, "group": 2}, "accounted for single records"),
    ],
)
def test_what_are_no_bins_is_refused(fields: dict[str, float], said: str) -> None:
    with pytest.raises(AccountingError, match=said):
        Mechanism(**({"noise_multiplier": 1.0, "rate": 0.1, "compositions": 1} | fields))  # type: ignore[arg-type]
