from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import norm

from harness.stats.intervals import auc
from suites.memorization.signals.lira import Variance, confidence, lira_offline, lira_online


def toy(shadows: int, records: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Members lie one deviation higher; records differ in how hard they are by three."""
    rng = np.random.default_rng(seed)
    hard = 3 * rng.normal(size=records)
    inside = rng.random((shadows, records)) < 0.5
    inside[0], inside[1] = True, False  # nobody without a side
    member = rng.random(records) < 0.5
    values = hard + inside + rng.normal(size=(shadows, records))
    return hard + member + rng.normal(size=records), values, inside, member


def brute(target: np.ndarray, shadows: np.ndarray, inside: np.ndarray, kind: Variance, online: bool) -> list[float]:
    """Record by record in plain Python, densities by scipy."""
    n = len(target)
    sides = {
        side: [[float(v) for v, s in zip(shadows[:, i], inside[:, i], strict=True) if s == side] for i in range(n)]
        for side in (True, False)
    }

    def deviation(side: bool, i: int) -> float:
        if kind is Variance.OWN:
            return statistics.stdev(sides[side][i])
        if kind is Variance.GLOBAL:
            return statistics.pstdev([value for values in sides[side] for value in values])
        squares = sum((v - statistics.mean(values)) ** 2 for values in sides[side] for v in values)
        return math.sqrt(squares / sum(len(values) - 1 for values in sides[side]))

    scores = []
    for i in range(n):
        out = norm(statistics.mean(sides[False][i]), deviation(False, i))
        if online:
            scores.append(
                norm.logpdf(target[i], statistics.mean(sides[True][i]), deviation(True, i)) - out.logpdf(target[i])
            )
        else:
            scores.append(1 - out.sf(target[i]))
    return scores


@pytest.mark.parametrize("kind", list(Variance))
def test_both_scores_against_brute_force(kind: Variance) -> None:
    target, shadows, inside, _ = toy(16, 40)
    assert lira_online(target, shadows, inside, kind) == pytest.approx(brute(target, shadows, inside, kind, True))
    expected = brute(target, shadows, inside, kind, False)
    assert norm.cdf(lira_offline(target, shadows, inside, kind)) == pytest.approx(expected)


def test_the_variance_follows_the_number_of_shadows() -> None:
    few, many = toy(16, 30), toy(64, 30)
    assert lira_online(*few[:3]).tolist() == lira_online(*few[:3], Variance.POOLED).tolist()
    assert lira_online(*many[:3]).tolist() == lira_online(*many[:3], Variance.OWN).tolist()


def test_it_tells_members_where_the_plain_signal_does_not() -> None:
    """With the truth known, log ratios of N(h + 1, 1) to N(h, 1): AUC is Phi(1 / sqrt 2) = 0.760."""
    target, shadows, inside, member = toy(256, 4000)
    for score in (lira_online(target, shadows, inside), lira_offline(target, shadows, inside)):
        assert auc(score[member], score[~member]) == pytest.approx(0.760, abs=0.02)
    assert auc(target[member], target[~member]) < 0.62


def test_common_variance_is_the_better_with_few_shadows() -> None:
    target, shadows, inside, member = toy(8, 4000, seed=1)
    own, pooled = (lira_online(target, shadows, inside, kind) for kind in (Variance.OWN, Variance.POOLED))
    told = ~np.isnan(own)
    assert auc(pooled[member & told], pooled[~member & told]) > auc(own[member & told], own[~member & told]) + 0.02


def test_records_without_a_side_are_missing_not_zero() -> None:
    inside = np.array([[True, True, False], [True, False, False], [True, False, False]])
    shadows = np.array([[1.0, 2.0, 0.0], [1.5, 1.0, 0.5], [0.5, 1.5, 0.2]])
    online = lira_online([1.0, 1.0, 1.0], shadows, inside, Variance.POOLED)
    assert np.isnan(online).tolist() == [True, False, True]
    assert np.isnan(lira_offline([1.0, 1.0, 1.0], shadows, inside)).tolist() == [True, False, False]
    assert np.isnan(lira_online([1.0, 1.0, 1.0], shadows, inside, Variance.OWN)).all()  # one member is no spread
    alike = lira_online([1.0], np.array([[1.0], [1.0], [0.0], [0.0]]), np.array([[1], [1], [0], [0]]))
    assert np.isfinite(alike).all()


def test_confidence_is_the_logit_of_the_true_class() -> None:
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]])
    p = softmax(logits, axis=1)[[0, 1], [0, 2]]
    assert confidence(logits, [0, 2]) == pytest.approx(np.log(p / (1 - p)))
    assert confidence([[800.0, 0.0]], [0]) == pytest.approx([800.0])  # p itself is 1 in any float


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        lira_online([1.0], [[1.0, 2.0]], [[1, 0]])
    with pytest.raises(ValueError, match="not finite"):
        lira_online([math.inf], [[1.0]], [[1]])
    with pytest.raises(ValueError, match="outside the 2 classes"):
        confidence([[1.0, 2.0]], [2])
    with pytest.raises(ValueError, match="records with classes"):
        confidence([[1.0]], [0])
