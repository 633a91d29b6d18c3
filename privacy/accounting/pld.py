"""Privacy loss distributions: an upper bound in both directions, adding and removing, for records and for users.

Sources: Doroshenko et al. 2022 (arXiv 2207.04380, "connect the dots"), by dp_accounting; users with several records:
the mixture of Gaussians of Ganesh 2024 (arXiv 2401.10294).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from privacy.accounting.accountant import failure, rounding_noise
from privacy.accounting.mechanism import Mechanism
from privacy.accounting.streams import keep_streams_open

_PER_DEVIATION = 16
"""Grid points in one standard deviation of a composition's loss: widens epsilon by about 0.05 %."""
_FEW = 4.5e-3
"""Interval that is fine enough for one composition whatever its loss; for T, over sqrt(T): widens epsilon by 0.001."""
_COARSEST = 5e-3
_CHEAP = 4000
"""Points of one composition's loss that take no time worth saving."""
_MOST_SINGLE = 10**5
_MOST_SINGLE_MIXTURE = 15000
"""Most points for a mixture, whose points cost a hundred times as much."""
_MOST_COMPOSED = 2**21
_REACH = 10.5
"""Standard deviations of noise beyond which dp_accounting truncates."""
_SPARE = 0.002
"""Share of delta kept for the records of one user that are never sampled together."""


def pld_upper(mechanism: Mechanism, delta: float, coarser: float = 1.0) -> float:
    """Epsilon at most, of a record or of a user with `group` records; `coarser` trades tightness for speed.

    Raises AccountingError where delta is too small for it or dp_accounting fails.
    """
    target = delta - rounding_noise(mechanism, delta, "pld")
    margin = 40.0
    while True:
        drawn = _most_drawn(mechanism, delta, margin)
        if drawn < mechanism.group:
            target = min(target, delta * (1 - _SPARE) - rounding_noise(mechanism, delta, "pld"))
        epsilon = _epsilon(mechanism, drawn, delta, target, coarser)
        # what was cut off counts exp(epsilon) fold when the user is added
        if drawn == mechanism.group or epsilon <= margin:
            return epsilon
        margin *= 2


def pld_composed_upper(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """Epsilon at most, of a unit that all the mechanisms read; raises AccountingError as `pld_upper` does."""
    target = delta - sum(rounding_noise(each, delta, "pld") for each in mechanisms)
    first = mechanisms[0]
    try:
        accountant = _new_accountant(max(_interval(each, each.group, delta) for each in mechanisms))
        for each in mechanisms:
            accountant.compose(_event(each, each.group), int(each.compositions))
        epsilon = float(accountant.get_epsilon(target))
    except (ValueError, RuntimeError, ArithmeticError, IndexError, MemoryError) as caught:
        raise failure("pld", first, caught) from caught
    if not math.isfinite(epsilon):
        raise failure("pld", first, ArithmeticError(f"epsilon came out as {epsilon}"))
    return max(0.0, epsilon)


def pld_log_delta(mechanism: Mechanism, delta: float) -> Callable[[float], float]:
    """The function epsilon -> log delta at most, of a record, on the grid that suits `delta`."""
    noise = rounding_noise(mechanism, delta, "pld")
    accountant = _accountant(mechanism, 1, delta, 1.0)

    def at_most(epsilon: float) -> float:
        return math.log(float(accountant.get_delta(epsilon)) + noise)

    return at_most


def _epsilon(mechanism: Mechanism, drawn: int, delta: float, target: float, coarser: float) -> float:
    try:
        epsilon = float(_accountant(mechanism, drawn, delta, coarser).get_epsilon(target))
    except (ValueError, RuntimeError, ArithmeticError, IndexError, MemoryError) as caught:
        raise failure("pld", mechanism, caught) from caught
    if not math.isfinite(epsilon):
        raise failure("pld", mechanism, ArithmeticError(f"epsilon came out as {epsilon}"))
    return max(0.0, epsilon)


def _accountant(mechanism: Mechanism, drawn: int, delta: float, coarser: float) -> Any:
    accountant = _new_accountant(coarser * _interval(mechanism, drawn, delta))
    return accountant.compose(_event(mechanism, drawn), int(mechanism.compositions))


def _new_accountant(interval: float) -> Any:
    keep_streams_open()
    from dp_accounting.pld import PLDAccountant

    return PLDAccountant(value_discretization_interval=interval)


def _event(mechanism: Mechanism, drawn: int) -> Any:
    """One composition."""
    keep_streams_open()
    from dp_accounting import dp_event

    q, sigma = mechanism.rate, mechanism.noise_multiplier
    if drawn > 1:
        chances = _chances(mechanism, drawn)
        return dp_event.MixtureOfGaussiansDpEvent(sigma, [float(count) for count in range(drawn + 1)], chances)
    if mechanism.amplified:
        return dp_event.PoissonSampledDpEvent(q, dp_event.GaussianDpEvent(sigma))
    return dp_event.GaussianDpEvent(sigma)


def _interval(mechanism: Mechanism, drawn: int, delta: float) -> float:
    """Grid interval: fine against the loss of one composition, and neither loss takes too many points."""
    q, sigma = mechanism.rate, mechanism.noise_multiplier
    deviation = mechanism.group * q * math.sqrt(math.expm1(min(4.0, sigma**-2)))
    single, composed = _spans(mechanism, drawn, delta)
    points = _MOST_SINGLE if drawn == 1 else _MOST_SINGLE_MIXTURE
    fine = max(deviation / _PER_DEVIATION, min(_FEW / math.sqrt(mechanism.compositions), single / _CHEAP))
    return max(min(_COARSEST, fine), single / points, composed / _MOST_COMPOSED)


def _spans(mechanism: Mechanism, drawn: int, delta: float) -> tuple[float, float]:
    """How far the loss of one composition reaches, and about how far that of all; by Rényi orders up to 2."""
    from scipy.special import logsumexp

    sigma = mechanism.noise_multiplier
    counts = np.arange(drawn + 1)
    chances = np.asarray(_chances(mechanism, drawn))
    counts, chances = counts[chances > 0], chances[chances > 0]
    x = np.linspace(-_REACH * sigma, _REACH * sigma + 2 * drawn, 4001)
    loss = logsumexp(np.log(chances) + (np.outer(x, counts) - counts**2 / 2) / sigma**2, axis=1)
    density = -(x**2) / (2 * sigma**2) - math.log(sigma * math.sqrt(2 * math.pi)) + math.log(x[1] - x[0])
    gaps = np.geomspace(1e-3, 1.0, 13)
    growth = np.asarray([logsumexp(density + (1 + gap) * loss) for gap in gaps])
    composed = float(np.min((mechanism.compositions * growth - math.log(delta)) / gaps))
    single = float(np.interp(_REACH * sigma + drawn, x, loss) - loss[0])
    return single, composed


def _most_drawn(mechanism: Mechanism, delta: float, margin: float) -> int:
    """Most records of the user taken in one composition; more happen too rarely to count at an epsilon up to margin."""
    if mechanism.group == 1:
        return 1
    from scipy.stats import binom

    rare = math.log(_SPARE / 2) + math.log(delta) - math.log(mechanism.compositions) - margin
    for drawn in range(1, mechanism.group):
        if binom.logsf(drawn, mechanism.group, mechanism.rate) <= rare:
            return drawn
    return mechanism.group


def _chances(mechanism: Mechanism, drawn: int) -> list[float]:
    """Chance of 0, 1, ... `drawn` records; the last takes all that is beyond."""
    if mechanism.group == 1:
        return [1 - mechanism.rate, mechanism.rate]
    from scipy.stats import binom

    chances = [float(binom.pmf(count, mechanism.group, mechanism.rate)) for count in range(drawn)]
    return [*chances, float(binom.sf(drawn - 1, mechanism.group, mechanism.rate))]
