from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score, roc_curve

from harness.errors import UsageError
from suites.memorization.signals.roc import curve, non_members_needed, tpr_at_fpr, why_unsupported


def test_needs_follow_from_ten_false_positives() -> None:
    assert [non_members_needed(rate) for rate in (0.1, 0.01, 0.001, 0.003)] == [100, 1000, 10_000, 3334]
    ten, one = (binomtest(k, 10_000).proportion_ci(0.95, "exact") for k in (10, 1))
    assert (round(ten.low * 1e5), round(ten.high * 1e5)) == (48, 184)  # 0.48 and 1.84 times the rate
    assert (round(one.low * 1e4, 2), round(one.high * 1e4, 1)) == (0.03, 5.6)


def test_refusals_say_what_is_needed_and_what_is_possible() -> None:
    assert why_unsupported(0.01, 1000, 1000) is None
    few = why_unsupported(0.001, 10_000, 9_999)
    assert few is not None
    assert "0.1 % needs 10,000 non-members" in few
    assert "at least 0.1 %" in few
    assert "no rate can be shown" in str(why_unsupported(0.5, 5, 100))
    assert "between 0 and 1" in str(why_unsupported(0.0, 10, 10))
    with pytest.raises(UsageError, match="needs 1,000 non-members"):
        tpr_at_fpr(np.zeros(1000), [1.0], np.zeros(999), 0.01)
    with pytest.raises(UsageError, match="no members"):
        tpr_at_fpr(np.zeros(1000), [], np.zeros(1000), 0.01)
    with pytest.raises(ValueError, match="NaN"):
        tpr_at_fpr(np.zeros(1000), [math.nan], np.zeros(1000), 0.01)


def test_counts_by_hand() -> None:
    fixing = np.arange(1000.0)  # ten lie above 989
    found = tpr_at_fpr(fixing, [989.0, 990.0, 995.0, 1.0], np.arange(500.0, 1500.0), 0.01)
    assert (found.threshold, found.value, found.attained) == (989.0, 0.5, 0.51)
    exact = binomtest(2, 4).proportion_ci(0.95, "exact")
    assert (found.interval.low, found.interval.high) == pytest.approx((exact.low, exact.high))
    assert (found.members, found.non_members, found.asked) == (4, 1000, 0.01)


def test_ties_at_the_threshold_are_not_above_it() -> None:
    found = tpr_at_fpr(np.zeros(1000), np.zeros(10), np.zeros(1000), 0.01)
    assert (found.value, found.attained) == (0.0, 0.0)


def test_both_intervals_cover_given_the_threshold() -> None:
    rng, missed = np.random.default_rng(0), np.zeros(2)
    for _ in range(400):
        found = tpr_at_fpr(rng.normal(size=1000), rng.normal(1, 1, 300), rng.normal(size=1000), 0.01)
        truths = norm.sf(found.threshold - 1), norm.sf(found.threshold)
        for i, (truth, interval) in enumerate(zip(truths, (found.interval, found.attained_interval), strict=True)):
            missed[i] += not interval.low <= truth <= interval.high
    assert (missed <= 0.065 * 400).all()


def test_the_curve_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    members, others = rng.integers(0, 12, 60), rng.integers(-3, 9, 80)
    false, true = curve(members, others)
    truth, scores = np.repeat([1, 0], [60, 80]), np.concatenate([members, others])
    theirs = roc_curve(truth, scores, drop_intermediate=False)
    assert false == pytest.approx(theirs[0])
    assert true == pytest.approx(theirs[1])
    assert np.trapezoid(true, false) == pytest.approx(roc_auc_score(truth, scores))
    with pytest.raises(ValueError, match="each side"):
        curve([], [1.0])
