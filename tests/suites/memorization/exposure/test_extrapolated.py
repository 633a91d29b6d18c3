from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import anderson, kurtosis, logistic, norm, skewnorm, t

from harness.errors import UsageError
from suites.memorization.exposure.extrapolated import (
    Fit,
    _distance,
    _kurtosis,
    extrapolated,
    fit,
    fitness,
    why_not,
)

Draw = Callable[[int, np.random.Generator], np.ndarray]
HEAVY: dict[str, Draw] = {
    "logistic": lambda n, rng: logistic.rvs(size=n, random_state=rng),
    "t5": lambda n, rng: t.rvs(5, size=n, random_state=rng),
}
GOOD: dict[str, Draw] = {
    "normal": lambda n, rng: norm.rvs(40, 3, size=n, random_state=rng),
    "skew": lambda n, rng: skewnorm.rvs(3, 40, 3, size=n, random_state=rng),
    "skew down": lambda n, rng: skewnorm.rvs(-2, 40, 3, size=n, random_state=rng),
}


def _refused(draw: Draw, n: int, runs: int) -> float:
    return float(np.mean([fitness(draw(n, np.random.default_rng(seed)), seed).rejected for seed in range(runs)]))


def test_the_distribution_function_is_scipys() -> None:
    x = np.linspace(-4, 4, 33)
    for shape in (-5.0, 0.0, 2.0):
        ours = Fit(np.array([0.5]), np.array([1.5]), np.array([shape])).below(x)
        assert ours == pytest.approx(skewnorm.cdf(x, shape, 0.5, 1.5), abs=1e-10)


def test_the_fit_has_the_samples_moments() -> None:
    values = GOOD["skew"](2000, np.random.default_rng(0))
    fitted = fit(values)
    theirs = skewnorm(fitted.shape[0], fitted.location[0], fitted.scale[0]).stats("mvs")
    skewness = ((values - values.mean()) ** 3).mean() / values.std() ** 3
    assert [float(each) for each in theirs] == pytest.approx([values.mean(), values.var(), skewness], rel=1e-9)
    assert np.isfinite(fit(np.random.default_rng(0).exponential(size=500)).shape).all()  # too skewed for one


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_tests_statistics_are_scipys() -> None:
    values = GOOD["normal"](300, np.random.default_rng(1))
    standard = Fit(np.array([values.mean()]), np.array([values.std(ddof=1)]), np.array([0.0]))
    theirs = anderson(values, "norm").statistic
    assert _distance(values[None, :], standard)[0] == pytest.approx(theirs, rel=1e-9)
    assert _kurtosis(values[None, :])[0] == pytest.approx(kurtosis(values, fisher=False))


@pytest.mark.parametrize("name", HEAVY)
def test_heavy_tails_are_refused(name: str) -> None:
    assert _refused(HEAVY[name], 1000, 40) >= 0.95
    with pytest.raises(UsageError, match=r"no skew-normal's .* take the sampled exposure"):
        extrapolated([-20.0], HEAVY[name](1000, np.random.default_rng(0)), seed=0)


@pytest.mark.parametrize("name", GOOD)
def test_skew_normals_are_seldom_refused(name: str) -> None:
    assert _refused(GOOD[name], 1000, 60) <= 0.2  # a tenth at most; 60 draws of it reach 0.2 once in 70


@pytest.mark.parametrize(("name", "true"), [("normal", norm(40, 3)), ("skew", skewnorm(3, 40, 3))])
def test_bits_are_right_within_the_cap(name: str, true: object) -> None:
    canary = float(true.ppf(2.0**-12))  # type: ignore[attr-defined]
    found = []
    for seed in range(30):
        references = GOOD[name](1000, np.random.default_rng(seed))
        if why_not(references, seed) is None:
            found += extrapolated([canary], references, seed)
    assert len(found) >= 20
    assert np.median([each.bits for each in found]) == pytest.approx(12.0, abs=0.7)
    assert np.mean([each.low <= 12.0 <= each.high for each in found]) >= 0.8


def test_nothing_is_said_beyond_three_bits_past_the_references() -> None:
    references = GOOD["normal"](1000, np.random.default_rng(0))
    most = math.log2(1000) + 3
    far, near = extrapolated([0.0, 40.0], references, seed=0)
    assert (far.bits, far.high, far.at_least) == (most, math.inf, True)
    assert far.low <= most
    assert near.bits == pytest.approx(1.0, abs=0.1)
    assert near.low <= near.bits <= near.high < most
    assert not near.at_least


def test_what_shows_no_tail_is_refused() -> None:
    for references, why in (
        (np.arange(50.0), "50 references show no tail"),
        (np.ones(600), "all alike"),
        (np.r_[np.arange(600.0), np.inf], "not finite"),
    ):
        assert why in str(why_not(references, 0))
