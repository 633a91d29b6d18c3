from __future__ import annotations

import math

import numpy as np
import pytest

from suites.memorization.continuation.chance import chance_in, draws_for


def test_chances_of_many_draws() -> None:
    third = math.log(1 / 3)
    assert chance_in(2, third) == pytest.approx(5 / 9)
    assert chance_in(0, third) == 0.0 == chance_in(10, -math.inf)
    assert chance_in(1, 0.0) == 1.0
    assert chance_in(10, -60.0) == pytest.approx(10 * math.exp(-60.0))
    rng = np.random.default_rng(0)
    assert chance_in(20, math.log(0.05)) == pytest.approx(
        (rng.random((100_000, 20)) < 0.05).any(axis=1).mean(), abs=0.01
    )


def test_draws_needed_are_the_fewest() -> None:
    for p in (0.9, 0.3, 0.01, 1e-6):
        for chance in (0.1, 0.5, 0.99):
            n = int(draws_for(chance, math.log(p)))
            assert chance_in(n, math.log(p)) >= chance - 1e-9
            assert n == 1 or chance_in(n - 1, math.log(p)) < chance
    assert draws_for(5 / 9, math.log(1 / 3)) == 2
    assert draws_for(0.5, -math.inf) == math.inf == draws_for(0.5, -2000.0)
    assert draws_for(0.99, 0.0) == 1


def test_what_is_no_chance_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 0"):
        chance_in(1, 0.1)
    with pytest.raises(ValueError, match="at most 0"):
        draws_for(0.5, math.nan)
    with pytest.raises(ValueError, match="chance is 1"):
        draws_for(1.0, -1.0)
    with pytest.raises(ValueError, match="-1 draws"):
        chance_in(-1, -1.0)
