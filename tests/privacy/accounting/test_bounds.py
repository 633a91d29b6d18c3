"""Each accountant against integrals, exact formulas, the libraries, and the others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from opacus.accountants import PRVAccountant
from opacus.accountants.analysis import gdp as opacus_gdp
from opacus.accountants.analysis.rdp import compute_rdp, get_privacy_spent

from privacy.accounting import AccountantName, AccountingError, Mechanism, calibrate, claim, epsilon
from privacy.accounting.accountant import rounding_noise
from privacy.accounting.prv import prv_bounds
from privacy.accounting.rdp import renyi_curve
from privacy.clipping import Adaptive
from tests.privacy.accounting_reference import (
    Direction,
    divergence,
    divergence_twice,
    gaussian_delta,
    gaussian_epsilon,
    record,
)

ALL: tuple[AccountantName, ...] = ("prv", "pld", "rdp")
BOTH: tuple[Direction, ...] = ("remove", "add")


@pytest.mark.parametrize(
    ("sigma", "q", "delta"), [(1.0, 0.04, 1e-5), (0.5, 0.01, 1e-5), (2.0, 0.3, 1e-3), (0.8, 0.9, 1e-6)]
)
def test_one_composition_by_integration(sigma: float, q: float, delta: float) -> None:
    mechanism = Mechanism(sigma, q, 1)
    prv, pld = epsilon(mechanism, delta, "prv"), epsilon(mechanism, delta, "pld")
    for upper in (prv.upper, pld.upper, epsilon(mechanism, delta, "rdp").upper):
        for direction in BOTH:
            assert divergence(sigma, record(q), upper, direction) <= delta * (1 + 1e-4)
        assert upper > 0
    for upper in (prv.upper, pld.upper):
        assert divergence(sigma, record(q), upper - 0.02, "remove") > delta
    assert prv.lower is not None
    assert divergence(sigma, record(q), prv.lower, "remove") >= delta


@pytest.mark.parametrize(("sigma", "q", "delta"), [(1.0, 0.04, 1e-5), (0.6, 0.2, 1e-4), (2.0, 0.5, 1e-6)])
def test_two_compositions_by_integration(sigma: float, q: float, delta: float) -> None:
    mechanism = Mechanism(sigma, q, 2)
    prv, pld = epsilon(mechanism, delta, "prv"), epsilon(mechanism, delta, "pld")
    for upper in (prv.upper, pld.upper):
        for direction in BOTH:
            assert divergence_twice(sigma, q, upper, direction) <= delta * (1 + 1e-4)
        assert divergence_twice(sigma, q, upper - 0.02, "remove") > delta
    assert prv.lower is not None
    assert divergence_twice(sigma, q, prv.lower, "remove") >= delta
    assert divergence_twice(sigma, q, epsilon(mechanism, delta, "rdp").upper, "remove") <= delta


def test_the_references_agree_with_the_exact_gaussian() -> None:
    assert gaussian_epsilon(1.0, gaussian_delta(1.0, 2.5)) == pytest.approx(2.5)
    for direction in BOTH:
        assert divergence(1.3, [0.0, 1.0], 1.5, direction) == pytest.approx(gaussian_delta(1.3, 1.5), rel=1e-5)
        twice = divergence_twice(1.3, 1 - 1e-12, 1.5, direction)
        assert twice == pytest.approx(gaussian_delta(1.3 / math.sqrt(2), 1.5), rel=1e-5)


@pytest.mark.parametrize(("sigma", "compositions", "delta"), [(10.0, 20, 1e-5), (1.0, 1, 1e-6), (300.0, 10000, 1e-8)])
def test_without_sampling_the_exact_gaussian_is_met(sigma: float, compositions: int, delta: float) -> None:
    exact = gaussian_epsilon(sigma / math.sqrt(compositions), delta)
    mechanism = Mechanism(sigma, 1.0, compositions)
    prv = epsilon(mechanism, delta, "prv")
    assert prv.lower is not None
    assert prv.lower <= exact <= prv.upper <= exact + 0.011
    assert exact <= epsilon(mechanism, delta, "pld").upper <= exact + 0.01
    assert exact <= epsilon(mechanism, delta, "rdp").upper <= 1.15 * exact


def test_the_published_example() -> None:
    mechanism = Mechanism(1.0, 0.04, 250)
    assert epsilon(mechanism, 1e-5, "pld").upper == pytest.approx(4.185, abs=2e-3)
    assert prv_bounds(mechanism, 1e-5, epsilon_error=0.01)[2] == pytest.approx(4.195, abs=1e-3)


@pytest.mark.parametrize(("sigma", "q", "steps"), [(1.0, 0.04, 250), (3.0, 0.01, 1001), (0.7, 0.002, 50)])
def test_the_prv_ends_are_those_of_opacus(sigma: float, q: float, steps: int) -> None:
    theirs = PRVAccountant()
    theirs.history = [(sigma, q, steps)]
    lower, estimate, upper = prv_bounds(Mechanism(sigma, q, steps), 1e-5, epsilon_error=0.01)
    assert upper == pytest.approx(theirs.get_epsilon(1e-5), abs=1e-4)
    assert lower < estimate < upper


GRID = [
    (0.6, 0.001, 1000, 1e-5),
    (1.0, 0.01, 5000, 1e-6),
    (4.0, 0.05, 20000, 1e-8),
    (20.0, 0.5, 300, 1e-5),
    (40.0, 0.01, 1000, 1e-7),
    (0.4, 0.05, 100, 1e-3),
]


@pytest.mark.parametrize(("sigma", "q", "steps", "delta"), GRID)
def test_accountants_are_in_order(sigma: float, q: float, steps: int, delta: float) -> None:
    mechanism = Mechanism(sigma, q, steps)
    prv, pld, rdp = (epsilon(mechanism, delta, name) for name in ALL)
    assert prv.lower is not None
    assert prv.estimate is not None
    assert prv.lower <= prv.estimate <= prv.upper
    assert prv.lower <= pld.upper <= rdp.upper
    assert pld.upper <= prv.upper + 0.01
    assert prv.upper <= prv.lower + 0.025 * max(1.0, prv.upper / 10)
    assert claim(mechanism, delta).agrees


@pytest.mark.parametrize(("sigma", "q", "steps"), [(1.0, 0.04, 20), (0.5, 0.01, 10), (3.0, 0.3, 30)])
def test_the_prv_upper_end_is_above_what_pld_proves_from_below(sigma: float, q: float, steps: int) -> None:
    from dp_accounting.pld import privacy_loss_distribution as pld

    below = pld.from_gaussian_mechanism(
        sigma, sampling_prob=q, pessimistic_estimate=False, use_connect_dots=False, value_discretization_interval=2e-3
    ).self_compose(steps)
    least = below.get_epsilon_for_delta(1e-5)
    prv = epsilon(Mechanism(sigma, q, steps), 1e-5, "prv")
    assert 0 < least <= prv.upper <= least + 0.1


@pytest.mark.parametrize("name", ALL)
def test_more_noise_fewer_steps_and_smaller_rates_spend_less(name: AccountantName) -> None:
    base = epsilon(Mechanism(1.0, 0.02, 100), 1e-5, name).upper
    for less in (Mechanism(1.1, 0.02, 100), Mechanism(1.0, 0.015, 100), Mechanism(1.0, 0.02, 60)):
        assert epsilon(less, 1e-5, name).upper < base
    assert epsilon(Mechanism(1.0, 0.02, 100), 1e-6, name).upper > base


@pytest.mark.parametrize("name", ALL)
def test_no_noise_is_no_guarantee_and_no_release_is_free(name: AccountantName) -> None:
    assert epsilon(Mechanism(0.0, 0.1, 10), 1e-5, name).upper == math.inf
    assert epsilon(Mechanism(0.0, 0.1, 0), 1e-5, name).upper == 0
    assert epsilon(Mechanism(1.0, 1.0, 0, group=4), 1e-5, name).upper == 0


def _renyi(sigma: float, q: float, order: float) -> float:
    x = np.linspace(-14 * sigma, order + 14 * sigma, 40_001)
    ratio = np.logaddexp(math.log1p(-q), math.log(q) + (2 * x - 1) / (2 * sigma**2))
    terms = -(x**2) / (2 * sigma**2) + order * ratio
    total = np.sum(np.exp(terms - terms.max())) * (x[1] - x[0]) / (sigma * math.sqrt(2 * math.pi))
    return float((math.log(total) + terms.max()) / (order - 1))


@pytest.mark.parametrize(("sigma", "q", "steps"), [(0.6, 0.1, 2000), (1.0, 0.04, 250), (30.0, 0.01, 10)])
def test_renyi_divergences_by_integration(sigma: float, q: float, steps: int) -> None:
    curve = renyi_curve(Mechanism(sigma, q, steps), math.log(1e-5))
    for order, divergence_of_all in zip(curve.orders[::7], curve.divergences[::7], strict=True):
        expected = _renyi(sigma, q, float(order))
        assert divergence_of_all / steps == pytest.approx(expected, rel=2e-3, abs=1e-11)


def test_renyi_accounting_is_no_looser_than_the_libraries() -> None:
    from dp_accounting import dp_event
    from dp_accounting.rdp import RdpAccountant

    for sigma, q, steps in [(1.0, 0.04, 250), (0.6, 0.1, 2000), (30.0, 0.01, 10), (8.0, 0.001, 100)]:
        ours = epsilon(Mechanism(sigma, q, steps), 1e-5, "rdp").upper
        orders = [1 + x / 10 for x in range(1, 100)] + list(range(12, 64))
        spent = compute_rdp(q=q, noise_multiplier=sigma, steps=steps, orders=orders)
        opacus, _ = get_privacy_spent(orders=orders, rdp=spent, delta=1e-5)
        google = RdpAccountant()
        google.compose(dp_event.PoissonSampledDpEvent(q, dp_event.GaussianDpEvent(sigma)), steps)
        assert ours <= float(opacus) * 1.003
        assert ours <= google.get_epsilon(1e-5) * 1.003
        least = epsilon(Mechanism(sigma, q, steps), 1e-5, "prv").lower
        assert least is not None
        assert ours >= least


def test_renyi_orders_widen_at_both_edges() -> None:
    faint = renyi_curve(Mechanism(200.0, 0.001, 10), math.log(1e-9))
    best = faint.orders[int(np.argmin(faint.epsilons(math.log(1e-9))))]
    assert best > 1024
    loud = renyi_curve(Mechanism(0.3, 0.1, 100_000), math.log(1e-5))
    best = loud.orders[int(np.argmin(loud.epsilons(math.log(1e-5))))]
    assert best < 1.1


@pytest.mark.parametrize("compositions", [1, 100, 10_000])
def test_rounding_moves_no_bound_at_the_smallest_delta_that_is_allowed(compositions: int) -> None:
    single = Mechanism(0.6, 1.0, 1)
    delta = 10.001 * rounding_noise(Mechanism(1.0, 1.0, compositions), 0.1, "prv")
    exact = gaussian_epsilon(single.noise_multiplier, delta)
    # written as many compositions on purpose, so that Fourier transforms do the work
    spread = Mechanism(single.noise_multiplier * math.sqrt(compositions), 1.0, compositions)
    lower, _, upper = prv_bounds(spread, delta)
    assert lower <= exact <= upper


@pytest.mark.parametrize("name", ["prv", "pld"])
def test_a_delta_below_rounding_is_refused_by_name(name: AccountantName) -> None:
    with pytest.raises(AccountingError, match=f"delta 1e-13 is too small for the {name.upper()} accountant.*use rdp"):
        epsilon(Mechanism(1.0, 0.01, 10_000), 1e-13, name)
    assert 0 < epsilon(Mechanism(1.0, 0.01, 10_000), 1e-30, "rdp").upper < 30


def test_a_finer_grid_is_tried_where_opacus_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    import opacus.accountants.analysis.prv as opacus_prv

    true, sizes = opacus_prv.discretize, []

    def fails_once(prv: Any, domain: Any) -> Any:
        sizes.append(domain.size)
        if len(sizes) == 1:
            raise RuntimeError("Discrete mean differs significantly from continuous mean.")
        return true(prv, domain)

    expected = prv_bounds(Mechanism(1.0, 0.04, 250), 1e-5, 0.01)[1]
    monkeypatch.setattr(opacus_prv, "discretize", fails_once)
    assert prv_bounds(Mechanism(1.0, 0.04, 250), 1e-5, 0.01)[1] == pytest.approx(expected, abs=1e-3)
    assert sizes[1] > 2 * sizes[0]

    def fails(prv: Any, domain: Any) -> Any:
        raise RuntimeError("Discrete mean differs significantly from continuous mean.")

    monkeypatch.setattr(opacus_prv, "discretize", fails)
    with pytest.raises(AccountingError, match=r"PRV accountant fails .*Discrete mean differs"):
        epsilon(Mechanism(1.0, 0.04, 250), 1e-5, "prv")


@pytest.mark.parametrize("name", ["gdp", "GDP", "gaussian"])
def test_the_gdp_accountant_is_refused_with_its_reason(name: Any) -> None:
    with pytest.raises(AccountingError, match="less epsilon than was spent"):
        epsilon(Mechanism(1.0, 0.01, 100), 1e-5, name)
    with pytest.raises(AccountingError, match="less epsilon than was spent"):
        claim(Mechanism(1.0, 0.01, 100), 1e-5, name)
    with pytest.raises(AccountingError, match="less epsilon than was spent"):
        calibrate(1.0, 1e-5, 0.01, 100, accountant=name)


def test_the_gdp_accountant_understates_and_is_never_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    mechanism = Mechanism(0.7, 0.01, 100)
    prv = epsilon(mechanism, 1e-5, "prv")
    assert prv.lower is not None
    stated = opacus_gdp.compute_eps_poisson(steps=100, noise_multiplier=0.7, sample_rate=0.01, delta=1e-5)
    assert stated < prv.lower

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("the GDP accountant was asked")

    for name in ("compute_eps_poisson", "compute_eps_uniform", "compute_mu_poisson", "compute_mu_uniform"):
        monkeypatch.setattr(opacus_gdp, name, never)
    monkeypatch.setattr("opacus.accountants.gdp.GaussianAccountant.__init__", never)
    claim(mechanism, 1e-5)
    claim(Mechanism(4.0, 0.1, 100, 3), 1e-5)
    calibrate(3.0, 1e-5, 0.1, 100)


def test_an_unknown_accountant_and_a_delta_that_is_none_are_refused() -> None:
    with pytest.raises(AccountingError, match="'moments' is unknown; choose from prv, pld, rdp"):
        epsilon(Mechanism(1.0, 0.1, 1), 1e-5, "moments")  # type: ignore[arg-type]
    for delta in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(AccountingError, match="above 0 and below 1"):
            epsilon(Mechanism(1.0, 0.1, 1), delta)


@pytest.mark.parametrize(("sigma", "count_noise"), [(1.0, 10.0), (0.6, 2.0), (3.0, 2.0)])
def test_adaptive_clipping_spends_exactly_the_accounted_noise(sigma: float, count_noise: float) -> None:
    from dp_accounting.pld import privacy_loss_distribution as pld

    gradient = Adaptive(1.0, count_noise=count_noise).gradient_noise(sigma)
    assert gradient > sigma
    # gradients of sensitivity 1, the centred count of sensitivity 1/2: one Gaussian of the summed signal-to-noise
    joint = math.hypot(1 / gradient, 0.5 / count_noise)
    assert 1 / joint == pytest.approx(sigma, rel=1e-12)
    both = pld.from_gaussian_mechanism(gradient).compose(pld.from_gaussian_mechanism(count_noise, sensitivity=0.5))
    exact = gaussian_epsilon(sigma, 1e-5)
    assert both.get_epsilon_for_delta(1e-5) == pytest.approx(exact, rel=1e-3)
    # noise of sigma on the gradients alone would spend more than is accounted
    careless = pld.from_gaussian_mechanism(sigma).compose(pld.from_gaussian_mechanism(count_noise, sensitivity=0.5))
    assert careless.get_epsilon_for_delta(1e-5) > exact * 1.0005


@pytest.mark.parametrize(
    ("sigma", "q", "steps", "delta"),
    [
        (1.0, 0.01, 1000, 1e-5),
        (0.4, 0.3, 10, 1e-3),
        (2.0, 0.5, 100, 1e-6),
        (5.0, 0.9, 50, 1e-5),
        (30.0, 0.02, 500, 1e-5),
    ],
)
def test_prv_bounds_removing_and_adding_each_as_pld_does(sigma: float, q: float, steps: int, delta: float) -> None:
    """Guards against a second opinion that has looked at one direction only."""
    from dp_accounting.pld import privacy_loss_distribution

    one = privacy_loss_distribution.from_gaussian_mechanism(
        sigma, sampling_prob=q, use_connect_dots=True, value_discretization_interval=1e-4
    )
    mechanism = Mechanism(sigma, q, steps)
    ends = {}
    directions: tuple[tuple[Direction, Any], ...] = (("remove", one._pmf_remove), ("add", one._pmf_add))
    for direction, losses in directions:
        lower, _, upper = ends[direction] = prv_bounds(mechanism, delta, directions=(direction,))
        assert lower - 1e-3 <= losses.self_compose(steps).get_epsilon_for_delta(delta) <= upper + 1e-3
    assert ends["add"][2] < ends["remove"][2]
    assert prv_bounds(mechanism, delta) == ends["remove"]


@pytest.mark.parametrize("epsilon_", [0.05, 0.2, 0.5])
def test_adding_by_the_formula_of_one_composition(epsilon_: float) -> None:
    """delta(epsilon) of Q = N(0, s^2) against the mixture P, by the point where Q = e^epsilon P."""
    from scipy.stats import norm

    sigma, q = 1.0, 0.5
    where = 0.5 + sigma**2 * math.log((math.exp(-epsilon_) - (1 - q)) / q)
    in_q, in_p = norm.cdf(where / sigma), (1 - q) * norm.cdf(where / sigma) + q * norm.cdf((where - 1) / sigma)
    delta = float(in_q - math.exp(epsilon_) * in_p)
    lower, _, upper = prv_bounds(Mechanism(sigma, q, 1), delta, directions=("add",))
    assert lower <= epsilon_ <= upper
    assert upper - lower < 0.01
