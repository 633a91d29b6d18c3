from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from harness.errors import UsageError
from privacy.accounting import Mechanism
from privacy.audit import true_positive_ceiling

RATES = np.array([0.0, 1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 1.0])


def test_an_unsampled_gaussian_has_its_own_curve() -> None:
    found = true_positive_ceiling([Mechanism(2.0, 1.0, 9)], RATES)
    exact = norm.cdf(norm.ppf(RATES) + 3 / 2)
    assert (found >= exact - 1e-9).all()
    assert found == pytest.approx(exact, abs=2e-3)


def test_two_trainings_on_the_same_records_compose() -> None:
    found = true_positive_ceiling([Mechanism(2.0, 1.0, 4), Mechanism(1.0, 1.0, 1), Mechanism(1.0, 1.0, 0)], RATES)
    assert found == pytest.approx(norm.cdf(norm.ppf(RATES) + np.hypot(1.0, 1.0)), abs=2e-3)


def test_a_sampled_gaussian_of_one_step_by_its_likelihood_ratio() -> None:
    """Both directions: N(0, s) against the mixture, by thresholds on the output, which order the ratio."""
    rate, sigma = 0.3, 0.8
    edges = np.linspace(-8, 9, 40001)
    without = norm.sf(edges, scale=sigma)
    mixed = (1 - rate) * without + rate * norm.sf(edges, 1.0, sigma)
    removing = np.interp(RATES, without[::-1], mixed[::-1])
    adding = np.interp(RATES, (1 - mixed), (1 - without))
    exact = np.maximum(removing, adding)
    found = true_positive_ceiling([Mechanism(sigma, rate, 1)], RATES)
    assert (found >= exact - 1e-5).all()
    # the worse of both directions at each epsilon lies at most this much above the worse curve
    assert (found <= exact + 0.02).all()


def test_edges() -> None:
    assert true_positive_ceiling([Mechanism(0.0, 0.1, 5)], RATES).tolist() == [1.0] * len(RATES)
    assert true_positive_ceiling([], RATES) == pytest.approx(RATES)
    with pytest.raises(UsageError, match="outside 0 to 1"):
        true_positive_ceiling([Mechanism(1.0, 1.0, 1)], [-0.1])
