from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2, norm, pearsonr

from harness.stats.intervals import Method
from suites.bias.seat.effect import effect_size
from suites.bias.seat.interval import KURTOSIS, effect_interval, noncentrality


def names(n: int) -> list[str]:
    return [str(at) for at in range(n)]


def test_the_noncentrality_is_that_of_the_published_example() -> None:
    """MBESS's manual (Kelley 2007), conf.limits.nct(ncp=2.83, df=126)."""
    assert noncentrality(2.83, 126) == pytest.approx((0.83375, 4.81536), abs=2e-5)


@pytest.mark.parametrize(("t", "df"), [(0.0, 3.5), (1.0, 1.5), (-4.0, 12.0), (30.0, 3.5), (999.0, 7.5)])
def test_a_t_beyond_either_end_has_half_of_the_error(t: float, df: float) -> None:
    """By the definition: a normal around the end over the root of an independent chi-square."""
    steps = (np.arange(200_000) + 0.5) / 200_000
    scale = np.sqrt(chi2.ppf(steps, df) / df)
    low, high = noncentrality(t, df)
    assert float(norm.cdf(t * scale - low).mean()) == pytest.approx(0.975, abs=1e-3)
    assert float(norm.cdf(t * scale - high).mean()) == pytest.approx(0.025, abs=1e-3)


@pytest.mark.parametrize("sizes", [(8, 8), (5, 9)])
def test_the_effect_is_a_correlation_and_a_function_of_cohens_delta(sizes: tuple[int, int]) -> None:
    """d^2 = g^2 (N - 1) / (N - 2 + g^2 n m / N); and r by the point-biserial formula. So d rises with t alone."""
    rng = np.random.default_rng(0)
    n, m = sizes
    for apart in (-3.0, 0.2, 5.0):
        x, y = rng.normal(apart, 1, n), rng.normal(0, 1, m)
        total, d = n + m, effect_size(x, y)
        pooled = math.sqrt(((n - 1) * x.var(ddof=1) + (m - 1) * y.var(ddof=1)) / (total - 2))
        g = (x.mean() - y.mean()) / pooled
        assert d == pytest.approx(g * math.sqrt((total - 1) / (total - 2 + g * g * n * m / total)))
        side = np.repeat([1.0, 0.0], sizes)
        r = float(pearsonr(side, np.concatenate([x, y]))[0])
        assert d == pytest.approx(r * math.sqrt((total - 1) / total) / math.sqrt(n * m / total**2))


def test_the_interval_is_that_of_delta_with_fewer_degrees_of_freedom() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(1, 1, 10), rng.normal(0, 1, 10)
    found = effect_interval((x, y), (names(10), names(10)))
    assert found is not None
    assert (found.method, found.level) == (Method.NONCENTRAL_T, 0.95)
    pooled = math.sqrt((x.var(ddof=1) + y.var(ddof=1)) / 2)
    t = (x.mean() - y.mean()) / pooled / math.sqrt(0.2)
    deltas = [end * math.sqrt(0.2) for end in noncentrality(t, 18 * 2 / (2 + KURTOSIS))]
    assert (found.low, found.high) == pytest.approx([delta / math.sqrt(1 + delta**2 / 4) for delta in deltas])
    mirrored = effect_interval((y, x), (names(10), names(10)))
    assert mirrored is not None
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


def test_sentences_of_a_word_that_say_the_same_add_nothing() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(1, 1, 12), rng.normal(0, 1, 12)
    once = effect_interval((x, y), (names(12), names(12)))
    many = effect_interval((np.repeat(x, 50), np.repeat(y, 50)), (sorted(names(12) * 50, key=int),) * 2)
    assert once is not None
    assert many is not None
    # standard deviations over 600 texts have 598 degrees of freedom where those of 12 words have 22
    assert (many.low, many.high) == pytest.approx((once.low, once.high), abs=0.06)


def test_an_interval_holds_its_value_and_stays_within_two() -> None:
    rng = np.random.default_rng(3)
    for spread in (1e-4, 0.01, 0.3, 3.0):
        x, y = rng.normal(1, spread, 8), rng.normal(-1, spread, 8)
        found = effect_interval((x, y), (names(8), names(8)))
        assert found is not None
        assert -2 <= found.low <= effect_size(x, y) <= found.high <= 2


@pytest.mark.parametrize("words", [2, 8])
def test_too_few_words_or_no_spread_of_them_give_none(words: int) -> None:
    spread = 1.0 if words == 2 else 0.0
    steps = np.arange(words, dtype=np.float64)
    x, y = 1 + spread * steps, spread * steps
    assert effect_interval((x, y), (names(words), names(words))) is None
