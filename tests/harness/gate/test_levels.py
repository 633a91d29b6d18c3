from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control, norm

from harness.api.metrics import Better, Metric
from harness.gate.levels import corrected, interval_at, p_value
from harness.gate.policy import Correction
from harness.stats.intervals import clopper_pearson

P = st.lists(st.floats(1e-6, 1), min_size=1, max_size=12)
INF = float("inf")


def share(hits: int, n: int, method: str = "Clopper-Pearson", level: float = 0.95) -> Metric:
    found = clopper_pearson(hits, n, level)
    return Metric(
        key="k", value=hits / n, low=found.low, high=found.high, n=n, better=Better.LOWER, interval=method, level=level
    )


@given(P)
def test_holm_is_the_step_down_procedure(p: list[float]) -> None:
    """Reference: reject the smallest while p <= alpha / how many are left, at every alpha."""
    adjusted = corrected(p, [0.05] * len(p), Correction.HOLM)
    for alpha in (0.01, 0.05, 0.2, 0.7):
        rejected = set()
        for step, at in enumerate(sorted(range(len(p)), key=p.__getitem__)):
            if p[at] * (len(p) - step) > alpha:
                break
            rejected.add(at)
        close = any(abs(value - alpha) < 1e-9 for value in adjusted)
        assert close or {at for at, value in enumerate(adjusted) if value <= alpha} == rejected


@given(P)
def test_benjamini_hochberg_is_scipys(p: list[float]) -> None:
    adjusted = corrected(p, [0.05] * len(p), Correction.BH)
    assert adjusted == pytest.approx(list(false_discovery_control(p)), rel=1e-9)


@given(P, st.sampled_from(list(Correction)), st.data())
def test_larger_p_values_never_help(p: list[float], method: Correction, data: st.DataObject) -> None:
    alphas = data.draw(st.lists(st.sampled_from([0.005, 0.025, 0.05]), min_size=len(p), max_size=len(p)))
    at = data.draw(st.integers(0, len(p) - 1))
    raised = [min(1.0, value * 3) if index == at else value for index, value in enumerate(p)]
    before, after = corrected(p, alphas, method), corrected(raised, alphas, method)
    for index, (one, two) in enumerate(zip(before, after, strict=True)):
        assert p[index] <= one + 1e-12 or one == 1.0
        assert (two <= alphas[index] * (1 - 1e-9)) <= (one <= alphas[index] * (1 + 1e-9))


def test_holm_keeps_the_chance_of_any_false_block() -> None:
    p = np.random.default_rng(0).random((4000, 8))
    any_false = np.mean([min(corrected(list(row), [0.05] * 8, Correction.HOLM)) <= 0.05 for row in p])
    assert any_false <= 0.06
    assert np.mean(p.min(axis=1) <= 0.05) > 0.3  # what goes wrong without


def test_no_correction_changes_nothing() -> None:
    assert corrected([0.2, 0.01], [0.05, 0.05], Correction.NONE) == [0.2, 0.01]
    assert corrected([], [], Correction.HOLM) == []


@given(hits=st.integers(0, 50), more=st.integers(0, 50), level=st.floats(0.6, 0.999))
def test_shares_are_computed_again_at_another_level(hits: int, more: int, level: float) -> None:
    n = max(1, hits + more)
    hits = min(hits, n)
    exact = clopper_pearson(hits, n, level)
    assert interval_at(share(hits, n), level) == pytest.approx((exact.low, exact.high))


def test_other_intervals_stretch_with_the_normal_quantile_or_the_logarithm_of_the_tail() -> None:
    metric = Metric(key="k", value=1.0, low=0.0, high=3.0, n=50, better=Better.LOWER, interval="bootstrap")
    factor = np.log(0.005) / np.log(0.025)  # the larger of the two above 95 %, as at an end next to a boundary
    assert interval_at(metric, 0.99) == pytest.approx((1 - factor, 1 + 2 * factor))
    less = norm.ppf(0.95) / norm.ppf(0.975)
    assert interval_at(metric, 0.9) == pytest.approx((1 - less, 1 + 2 * less))
    assert interval_at(metric, 0.95) == (0.0, 3.0)
    one_sided = metric.model_copy(update={"low": None})
    assert interval_at(one_sided, 0.99)[0] is None


@given(st.integers(0, 40), st.integers(1, 40), st.floats(0.01, 0.99))
def test_p_values_are_the_exact_binomial_ones_where_the_interval_is(hits: int, n: int, bound: float) -> None:
    hits = min(hits, n)
    metric = share(hits, n, "Clopper-Pearson")
    above = binomtest(hits, n, bound, alternative="greater").pvalue
    below = binomtest(hits, n, bound, alternative="less").pvalue
    assert p_value(metric, -INF, bound) == pytest.approx(above, rel=1e-9, abs=1e-12)
    assert p_value(metric, bound, INF) == pytest.approx(below, rel=1e-9, abs=1e-12)


METRICS = st.one_of(
    st.tuples(st.integers(0, 30), st.integers(1, 30)).map(lambda drawn: share(min(drawn[0], drawn[1]), drawn[1])),
    st.tuples(st.floats(0, 1), st.floats(1e-6, 1), st.floats(1e-6, 1)).map(
        lambda d: Metric(
            key="k", value=d[0], low=d[0] - d[1], high=d[0] + d[2], n=9, better=Better.LOWER, interval="bootstrap"
        )
    ),
)


@given(METRICS, st.floats(-0.5, 1.5), st.floats(-0.5, 1.5))
def test_a_small_p_value_and_an_interval_beyond_the_bound_are_the_same(metric: Metric, one: float, two: float) -> None:
    lowest, highest = sorted((one, two))
    assert metric.low is not None
    assert metric.high is not None
    for low, high in ((-INF, highest), (lowest, INF), (lowest, highest)):
        p = p_value(metric, low, high)
        beyond = metric.low > high + 1e-9 or metric.high < low - 1e-9
        inside = metric.low <= high - 1e-9 and metric.high >= low + 1e-9
        assert not beyond or p <= 0.025 * (1 + 1e-6)
        assert not inside or p >= 0.025 * (1 - 1e-6)


def test_an_interval_next_to_a_boundary_stays_valid_at_another_level() -> None:
    """30 of 30 right has the lower end tail^(1/30): stretched with the normal quantile alone it would be too near."""
    found = Metric(key="k", value=1.0, low=0.025 ** (1 / 30), high=1.0, n=30, better=Better.HIGHER, interval="drawn")
    for level in (0.99, 0.999):
        low, _ = interval_at(found, level)
        assert low is not None
        assert low <= ((1 - level) / 2) ** (1 / 30) + 0.01
    assert p_value(found, 0.8, INF) == 1.0
    worse = found.model_copy(update={"value": 0.0, "low": 0.0, "high": 1 - 0.025 ** (1 / 30)})
    assert p_value(worse, 0.3, INF) >= 0.7**30
