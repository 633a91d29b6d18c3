from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import logistic, norm, skewnorm, t

from suites.memorization.exposure.bits import BEYOND, exact, extrapolated, sampled


def test_exact_exposure_by_enumeration() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=1000)
    order = np.argsort(-scores)
    for place in (0, 1, 7, 499, 999):
        own = scores[order[place]]
        exposed = exact(own, np.delete(scores, order[place]), 1000)
        assert (exposed.rank, exposed.of) == (place + 1, 1000)
        assert exposed.bits == pytest.approx(math.log2(1000) - math.log2(place + 1))
    with pytest.raises(ValueError, match="of 999 other secrets"):
        exact(0.0, scores, 1000)


def test_equals_count_against_the_canary() -> None:
    assert exact(1.0, np.array([1.0, 1.0, 0.0]), 4).bits == pytest.approx(2 - math.log2(3))
    assert exact(1.0, np.ones(1023), 1024).bits == 0


def test_a_sample_ends_at_its_size() -> None:
    references = np.arange(1024.0)
    assert sampled(2000.0, references).bits == 10
    assert sampled(-1.0, references).bits == pytest.approx(10 - math.log2(1025))


def test_the_mean_exposure_of_a_model_that_prefers_nothing() -> None:
    """log2 n - mean log2 rank, ranks uniform: 1 / ln 2 = 1.44 bits."""
    ranks = np.arange(1, 10_001)
    assert np.mean(np.log2(10_000) - np.log2(ranks)) == pytest.approx(1 / math.log(2), abs=0.01)


@pytest.mark.parametrize(
    ("draw", "at"),
    [
        (lambda rng: rng.normal(size=1000), norm.ppf),
        (lambda rng: skewnorm.rvs(4, size=1000, random_state=rng), lambda q: skewnorm.ppf(q, 4)),
    ],
)
def test_tails_that_fit_are_extrapolated_with_an_interval(draw: Any, at: Any) -> None:
    rng = np.random.default_rng(0)
    truth = 11.5
    found = [extrapolated(float(at(1 - 2**-truth)), draw(rng), seed) for seed in range(12)]
    made = [each for each in found if each.bits is not None and each.low is not None and each.high is not None]
    assert len(made) >= 10
    assert abs(float(np.median([float(each.bits or 0) for each in made])) - truth) < 1
    assert sum(float(each.low or 0) <= truth <= float(each.high or 0) for each in made) >= len(made) - 3
    assert max(float(each.bits or 0) for each in made) <= math.log2(1000) + BEYOND


@pytest.mark.parametrize(
    ("draw", "at"),
    [
        (lambda rng: rng.logistic(size=1000), logistic.ppf),
        (lambda rng: rng.standard_t(5, size=1000), lambda q: t.ppf(q, 5)),
    ],
)
def test_heavier_tails_are_refused(draw: Any, at: Any) -> None:
    rng = np.random.default_rng(0)
    found = [extrapolated(float(at(1 - 2**-15)), draw(rng), seed) for seed in range(20)]
    assert sum(each.bits is not None for each in found) <= 1
    assert "does not fit" in found[0].why_not


def test_few_or_repeated_references_are_refused() -> None:
    assert "50 different references, 500 needed" in extrapolated(3.0, np.arange(50.0), 0).why_not
    assert "2 different references, 600 needed" in extrapolated(3.0, np.repeat([1.0, 2.0], 600), 0).why_not
