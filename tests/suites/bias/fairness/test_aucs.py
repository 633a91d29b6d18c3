from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from suites.bias.fairness.aucs import generalised_mean, group_aucs

RNG = np.random.default_rng(0)


def test_the_three_aucs_are_those_of_their_records() -> None:
    """Borkan et al.'s definitions, as an AUC over the union of their two sides."""
    n = 300
    scores, positive, member = RNG.uniform(size=n).round(1), RNG.uniform(size=n) < 0.4, RNG.uniform(size=n) < 0.3
    over = {
        "subgroup_auc": member,
        "bpsn_auc": (positive & ~member) | (~positive & member),
        "bnsp_auc": (positive & member) | (~positive & ~member),
    }
    for name, found in group_aucs(scores, positive, member, 5, 4).items():
        assert found is not None
        assert found.value == pytest.approx(roc_auc_score(positive[over[name]], scores[over[name]]))
        assert found.n == over[name].sum()
        assert found.together.low <= found.interval.low <= found.value <= found.interval.high <= found.together.high


def test_a_side_under_the_minimum_is_masked() -> None:
    member = np.array([True, True, False, False, False])
    positive = np.array([True, False, True, False, False])
    found = group_aucs(np.arange(5.0), positive, member, 2, 1)
    assert found == dict.fromkeys(("subgroup_auc", "bpsn_auc", "bnsp_auc"))


def test_the_power_mean_by_hand() -> None:
    assert generalised_mean([0.5, 1.0]) == pytest.approx(((2**5 + 1) / 2) ** -0.2)
    assert generalised_mean([0.7, 0.7, 0.7]) == pytest.approx(0.7)
    assert generalised_mean([0.0, 0.9]) == 0.0
    assert generalised_mean([0.2, 0.4], power=1) == pytest.approx(0.3)
