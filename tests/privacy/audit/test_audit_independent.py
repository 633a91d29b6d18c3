from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from harness.errors import UsageError
from privacy.audit import Bound, audit_independent
from privacy.audit.independent import lower_bound
from tests.privacy.accounting_reference import gaussian_epsilon


@pytest.mark.parametrize(("hits", "alarms"), [(90, 5), (40, 0), (100, 60), (0, 0), (3, 80)])
def test_both_directions_by_scipys_intervals(hits: int, alarms: int) -> None:
    missed = binomtest(100 - hits, 100).proportion_ci(0.95, "exact").high
    false = binomtest(alarms, 120).proportion_ci(0.95, "exact").high
    ways = [(1 - 1e-5 - missed) / false, (1 - 1e-5 - false) / missed]
    expected = math.log(max(1.0, *ways))
    assert lower_bound((hits, 100), (alarms, 120), 1e-5, 0.05) == pytest.approx(expected, abs=1e-9)
    mu = -norm.ppf(false) - norm.ppf(missed)
    gaussian = gaussian_epsilon(1 / mu, 1e-5) if mu > 0 else 0.0
    assert lower_bound((hits, 100), (alarms, 120), 1e-5, 0.05, gaussian=True) == pytest.approx(gaussian, abs=1e-6)


@pytest.mark.parametrize("gaussian", [False, True])
def test_independent_trials_are_covered(gaussian: bool) -> None:
    rng, mu = np.random.default_rng(1), 1.0
    truth = gaussian_epsilon(1 / mu, 1e-5)
    lowers = []
    for _ in range(1000):
        coins = rng.random(500) < 0.5
        scores = rng.normal(size=500) + mu * coins
        lowers.append(audit_independent(scores, coins, [0.0, 0.5, 1.5], 1e-5, gaussian=gaussian).lower)
    assert (np.array(lowers) > truth).sum() <= 50
    assert np.median(lowers) > 0.3


def test_the_result_says_what_it_rests_on() -> None:
    scores, coins = [3.0, 2.0, 0.5, 0.1], [1, 1, 0, 0]
    found = audit_independent(scores, coins, [1.0], 1e-5)
    assert found.heuristic
    assert "heuristic" in found.assumes
    assert (found.bound, found.right, found.plus, found.minus) == (Bound.INDEPENDENT, 4, 2, 2)
    assert found.lower == found.ceiling
    sure = audit_independent(scores, coins, [1.0], 1e-5, gaussian=True, independent=True)
    assert not sure.heuristic
    assert "Gaussian" in sure.assumes


def test_no_members_show_nothing() -> None:
    assert audit_independent([1.0, 2.0], [0, 0], [1.5], 1e-5).lower == 0.0
    with pytest.raises(UsageError, match="no thresholds"):
        audit_independent([1.0], [1], [], 1e-5)
