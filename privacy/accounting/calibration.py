"""The noise that a target epsilon needs, and the delta that a data set needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Literal

from privacy.accounting.accountant import AccountantName, check_accountant, check_delta
from privacy.accounting.bounds import epsilon
from privacy.accounting.claims import chain_from
from privacy.accounting.errors import AccountingError
from privacy.accounting.mechanism import Mechanism
from privacy.accounting.pld import pld_upper
from privacy.accounting.prv import PrvGrid, prv_bounds

MOST_NOISE = 1e4
"""Noise multipliers beyond this are not looked for: they drown any gradient."""
_LEAST_NOISE = 1e-2
_STEP = 1e-4
"""Noise multipliers are rounded up to this."""
_TIGHT = 1e-3
"""Share of the target that may be left unused."""
_TRIES = 8
_INFINITE = 1e9

Epsilon = Callable[[float], float]
"""Noise multiplier -> epsilon, decreasing."""


def calibrate(
    target_epsilon: float,
    delta: float,
    rate: float,
    compositions: int,
    *,
    group: int = 1,
    accountant: AccountantName = "prv",
) -> float:
    """As `calibrate_mechanism`, of Poisson-sampled records."""
    return calibrate_mechanism(target_epsilon, delta, Mechanism(1.0, rate, compositions, group), accountant)


def calibrate_mechanism(
    target_epsilon: float, delta: float, asked: Mechanism, accountant: AccountantName = "prv"
) -> float:
    """Smallest noise multiplier, rounded up to 1e-4, with which the upper bound of `asked` is at most `target_epsilon`.

    The bound is the one that `claim` takes for `accountant`: where that fails, the next. Raises AccountingError for a
    target that is not positive or that no noise up to MOST_NOISE reaches.
    """
    check_accountant(accountant)
    check_delta(delta)
    if not (target_epsilon > 0 and math.isfinite(target_epsilon)):
        raise AccountingError(f"the target epsilon is {target_epsilon}; it must be a positive number")
    if asked.compositions == 0:
        raise AccountingError("nothing is released in 0 compositions, so there is no noise to choose; train some steps")

    def at(noise: float) -> Mechanism:
        return replace(asked, noise_multiplier=noise)

    ceiling = _enough_noise(lambda noise: epsilon(at(noise), delta, "rdp").upper, target_epsilon)
    reasons: list[str] = []
    for name in chain_from(accountant):
        try:
            return _smallest(at, target_epsilon, delta, name, ceiling)
        except AccountingError as error:
            reasons.append(str(error))
    raise AccountingError(
        f"epsilon {target_epsilon:g} at delta {delta:g} is out of reach in {asked.compositions} compositions at rate "
        f"{asked.rate:g}: {reasons[-1]}"
    )


def delta_of(delta: float | Literal["auto"], records: int) -> float:
    """`delta` as a number for that many privacy units; `auto` is 1 / (10 N).

    Raises AccountingError unless 0 < delta < 1 / N: at 1 / N publishing one record in full would count as private.
    """
    if records < 1:
        raise AccountingError(f"there are {records} records to protect; delta needs at least one")
    if delta == "auto":
        return 1 / (10 * records)
    if not 0 < delta < 1 / records:
        raise AccountingError(
            f"delta is {delta:g}; with {records} records it must be above 0 and below 1/{records} = {1 / records:.3g} "
            "(auto takes a tenth of that)"
        )
    return float(delta)


def _enough_noise(loose: Epsilon, target: float) -> float:
    """Noise at which even the loose bound keeps to the target, near the least; MOST_NOISE where none does."""
    low, high = _LEAST_NOISE, 1.0
    while loose(high) > target:
        low, high = high, 2 * high
        if high > MOST_NOISE:
            return MOST_NOISE
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if loose(middle) > target else (low, middle)
    return high


def _smallest(
    at: Callable[[float], Mechanism], target: float, delta: float, name: AccountantName, ceiling: float
) -> float:
    """Solve on a coarse grid, where an evaluation is cheap, then close in with the bound that is claimed."""
    rough = _rough(at, target, delta, name)
    noise, power = _root(rough, target * (1 - _TIGHT / 2), ceiling)  # in the middle of what ends the search
    found = math.inf
    for _ in range(_TRIES):
        noise = _round_up(noise)
        upper = epsilon(at(noise), delta, name).upper
        if upper <= target:
            found = min(found, noise)
            if upper >= target * (1 - _TIGHT) or noise <= 2 * _STEP:
                break
        aim = target * (1 - _TIGHT / 2)
        guess = _round_up(noise * (max(upper, 1e-12) / aim) ** (1 / power))
        noise = guess if guess != noise else noise + (_STEP if upper > target else -_STEP)
        if noise >= found or noise > MOST_NOISE:
            break
    if math.isinf(found):
        raise AccountingError(
            f"no noise multiplier up to {MOST_NOISE:g} suffices; take fewer steps, a smaller batch or a larger epsilon"
        )
    return found


def _rough(at: Callable[[float], Mechanism], target: float, delta: float, name: AccountantName) -> Epsilon:
    """A cheap stand-in for the bound; infinite where it fails, which is where noise is too little."""

    def value(noise: float) -> float:
        mechanism = at(noise).reduced()
        try:
            if name == "prv" and mechanism.group == 1:
                error = max(min(0.1, target / 4), PrvGrid(mechanism, delta).least_error())
                estimate = prv_bounds(mechanism, delta, epsilon_error=error, directions=("remove",))[1]
                return estimate + PrvGrid(mechanism, delta).error()
            if name == "pld":
                return pld_upper(mechanism, delta, coarser=3.0)
        except AccountingError:
            return math.inf
        return epsilon(mechanism, delta, name).upper

    return value


def _root(rough: Epsilon, target: float, ceiling: float) -> tuple[float, float]:
    """Where `rough` meets the target, and minus its slope there, both in logarithms."""
    from scipy.optimize import brentq

    @cache
    def gap(log_noise: float) -> float:
        return math.log(min(max(rough(math.exp(log_noise)), 1e-12), _INFINITE) / target)

    high = low = math.log(ceiling)
    if gap(high) > 0:
        return ceiling, 1.0
    step = 0.1
    while gap(low) <= 0:
        high, low, step = low, low - step, 2 * step
        if low < math.log(_LEAST_NOISE):
            return _LEAST_NOISE, 1.0
    root = float(brentq(gap, low, high, xtol=1e-4))
    return math.exp(root), max(0.2, (gap(low) - gap(high)) / (high - low))


def _round_up(noise: float) -> float:
    return round(math.ceil(noise / _STEP - 1e-9) * _STEP, 4)
