from __future__ import annotations

import math

import numpy as np
import pytest

from suites.memorization.signals.rmia import marginal, rmia

RNG = np.random.default_rng(0)
P_X, P_Z = RNG.uniform(0.05, 0.95, 12), RNG.uniform(0.05, 0.95, 30)
IN_X, OUT_X = RNG.uniform(0.05, 0.95, (3, 12)), RNG.uniform(0.05, 0.95, (4, 12))
IN_Z, OUT_Z = RNG.uniform(0.05, 0.95, (3, 30)), RNG.uniform(0.05, 0.95, (4, 30))


def online(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """By `marginal`, from chances of shadows that saw and did not see."""
    seen = np.concatenate([np.ones(inside.shape, dtype=bool), np.zeros(outside.shape, dtype=bool)])
    return marginal(np.log(np.concatenate([inside, outside])), seen)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_against_plain_ratios(gamma: float) -> None:
    x = (IN_X.mean(axis=0) + OUT_X.mean(axis=0)) / 2
    z = (IN_Z.mean(axis=0) + OUT_Z.mean(axis=0)) / 2
    logs = online(IN_X, OUT_X), online(IN_Z, OUT_Z)
    assert np.exp(logs[0]) == pytest.approx(x)
    expected = [
        sum((px / mx) / (pz / mz) > gamma for pz, mz in zip(P_Z, z, strict=True)) / len(P_Z)
        for px, mx in zip(P_X, x, strict=True)
    ]
    assert rmia(np.log(P_X), logs[0], np.log(P_Z), logs[1], gamma) == pytest.approx(expected)


def test_each_record_has_shadows_of_its_own() -> None:
    logs = np.log(np.array([[0.2, 0.4], [0.6, 0.8], [0.1, 0.3]]))
    inside = np.array([[1, 0], [0, 0], [0, 1]], dtype=bool)
    assert np.exp(marginal(logs, inside)) == pytest.approx([(0.2 + 0.35) / 2, (0.3 + 0.6) / 2])


def test_chances_too_small_for_numbers() -> None:
    tiny = np.array([[-2000.0, -2000.0]] * 2)
    common = marginal(tiny, [[True, True], [False, False]])
    assert common == pytest.approx([-2000.0, -2000.0])
    assert rmia([-1990.0, -2010.0], common, [-2000.0], [-2000.0]).tolist() == [1.0, 0.0]


def test_equal_gains_are_not_above() -> None:
    assert rmia([-1.0], [-2.0], [-3.0, -3.5], [-4.0, -4.0]).tolist() == [0.5]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="no population texts"):
        rmia([-1.0], [-1.0], [], [])
    with pytest.raises(ValueError, match="gamma is 0"):
        rmia([-1.0], [-1.0], [-1.0], [-1.0], 0)
    with pytest.raises(ValueError, match="some did not"):
        marginal([[-1.0], [-1.0]], [[True], [True]])
    with pytest.raises(ValueError, match="marginal is 0 too"):
        rmia([-math.inf], [-math.inf], [-1.0], [-1.0])
    with pytest.raises(ValueError, match="do not fit"):
        rmia([-1.0], [-1.0, -2.0], [-1.0], [-1.0])
