from __future__ import annotations

import math

import numpy as np
import pytest

from suites.memorization.signals.rmia import marginal_offline, marginal_online, rmia

RNG = np.random.default_rng(0)
P_X, P_Z = RNG.uniform(0.05, 0.95, 12), RNG.uniform(0.05, 0.95, 30)
IN_X, OUT_X = RNG.uniform(0.05, 0.95, (3, 12)), RNG.uniform(0.05, 0.95, (4, 12))
IN_Z, OUT_Z = RNG.uniform(0.05, 0.95, (3, 30)), RNG.uniform(0.05, 0.95, (4, 30))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("a", [None, 0.0, 0.4, 1.0])
def test_against_plain_ratios(a: float | None, gamma: float) -> None:
    if a is None:
        x = (IN_X.mean(axis=0) + OUT_X.mean(axis=0)) / 2
        z = (IN_Z.mean(axis=0) + OUT_Z.mean(axis=0)) / 2
        logs = marginal_online(np.log(IN_X), np.log(OUT_X)), marginal_online(np.log(IN_Z), np.log(OUT_Z))
    else:
        x, z = (((1 + a) * out.mean(axis=0) + 1 - a) / 2 for out in (OUT_X, OUT_Z))
        logs = marginal_offline(np.log(OUT_X), a), marginal_offline(np.log(OUT_Z), a)
    assert np.exp(logs[0]) == pytest.approx(x)
    expected = [
        sum((px / mx) / (pz / mz) > gamma for pz, mz in zip(P_Z, z, strict=True)) / len(P_Z)
        for px, mx in zip(P_X, x, strict=True)
    ]
    assert rmia(np.log(P_X), logs[0], np.log(P_Z), logs[1], gamma) == pytest.approx(expected)


def test_chances_too_small_for_numbers() -> None:
    tiny = np.array([[-2000.0, -2000.0]])
    marginal = marginal_offline(tiny, 1.0)
    assert marginal == pytest.approx([-2000.0, -2000.0])
    assert rmia([-1990.0, -2010.0], marginal, [-2000.0], [-2000.0]).tolist() == [1.0, 0.0]


def test_equal_gains_are_not_above() -> None:
    assert rmia([-1.0], [-2.0], [-3.0, -3.5], [-4.0, -4.0]).tolist() == [0.5]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="no population texts"):
        rmia([-1.0], [-1.0], [], [])
    with pytest.raises(ValueError, match="gamma is 0"):
        rmia([-1.0], [-1.0], [-1.0], [-1.0], 0)
    with pytest.raises(ValueError, match=r"a is 1\.5"):
        marginal_offline([[-1.0]], 1.5)
    with pytest.raises(ValueError, match="models, records"):
        marginal_offline(np.zeros((0, 3)), 0.5)
    with pytest.raises(ValueError, match="marginal is 0 too"):
        rmia([-math.inf], [-math.inf], [-1.0], [-1.0])
    with pytest.raises(ValueError, match="do not fit"):
        rmia([-1.0], [-1.0, -2.0], [-1.0], [-1.0])
