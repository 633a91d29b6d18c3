from __future__ import annotations

import math

import numpy as np
import pytest

from suites.memorization.continuation.chance import chance_in


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


def test_what_is_no_chance_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 0"):
        chance_in(1, 0.1)
    with pytest.raises(ValueError, match="at most 0"):
        chance_in(1, math.nan)
    with pytest.raises(ValueError, match="-1 draws"):
        chance_in(-1, -1.0)
