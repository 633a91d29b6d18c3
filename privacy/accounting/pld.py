"""Privacy loss distributions: an upper bound in both directions, adding and removing, for records and for users.

Sources: Doroshenko et al. 2022 (arXiv 2207.04380, "connect the dots"), by dp_accounting; users with several records:
the mixture of Gaussians of Ganesh 2024 (arXiv 2401.10294).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from privacy.accounting.accountant import failure, rounding_noise
from privacy.accounting.bins import bins_interval, bins_losses
from privacy.accounting.mechanism import Mechanism
from privacy.accounting.streams import keep_streams_open
from privacy.accounting.truncated import parts_of

Floats = npt.NDArray[np.float64]

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
    interval = max(_interval(each, each.group, delta) for each in mechanisms)
    return _solved([(each, each.group) for each in mechanisms], interval, target)


def pld_log_delta(mechanism: Mechanism, delta: float) -> Callable[[float], float]:
    """The function epsilon -> log delta at most, of a record, on the grid that suits `delta`."""
    noise = rounding_noise(mechanism, delta, "pld")
    losses = _composed(mechanism, 1, _interval(mechanism, 1, delta))

    def at_most(epsilon: float) -> float:
        return math.log(float(losses.get_delta_for_epsilon(epsilon)) + noise)

    return at_most


def pld_deltas(mechanisms: Sequence[Mechanism], delta: float, points: int) -> tuple[Floats, Floats]:
    """Epsilons [points] from 0 to that at `delta`, and delta at most of each, of a unit that all mechanisms read.

    Raises AccountingError as `pld_upper` does. Without mechanisms epsilon and delta are 0.
    """
    if not mechanisms:
        return np.zeros(1), np.zeros(1)
    most = pld_composed_upper(mechanisms, delta)
    epsilons = np.linspace(0.0, most, points)
    noise = sum(rounding_noise(each, delta, "pld") for each in mechanisms)
    interval = max(_interval(each, each.group, delta) for each in mechanisms)
    worlds = range(max(len(parts_of(each)) for each in mechanisms))
    found = [
        np.asarray(
            _together([(each, each.group) for each in mechanisms], interval, world).get_delta_for_epsilon(epsilons)
        )
        for world in worlds
    ]
    return epsilons, np.minimum(1.0, np.max(found, axis=0) + noise)


def _epsilon(mechanism: Mechanism, drawn: int, delta: float, target: float, coarser: float) -> float:
    return _solved([(mechanism, drawn)], coarser * _interval(mechanism, drawn, delta), target)


def _solved(mechanisms: Sequence[tuple[Mechanism, int]], interval: float, target: float) -> float:
    """Epsilon at delta `target` of all mechanisms together, each with the most records drawn at once.

    The same record is added to all trainings, or removed from all (parts_of): the worse of the two.
    """
    found = []
    try:
        for world in range(max(len(parts_of(each)) for each, _ in mechanisms)):
            found.append(float(_together(mechanisms, interval, world).get_epsilon_for_delta(target)))
    except (ValueError, RuntimeError, ArithmeticError, IndexError, MemoryError) as caught:
        raise failure("pld", mechanisms[0][0], caught) from caught
    epsilon = max(found)
    if not math.isfinite(epsilon):
        raise failure("pld", mechanisms[0][0], ArithmeticError(f"epsilon came out as {epsilon}"))
    return max(0.0, epsilon)


def _together(mechanisms: Sequence[tuple[Mechanism, int]], interval: float, world: int) -> Any:
    """dp_accounting's losses of all mechanisms after one another."""
    losses = [_composed(each, drawn, interval, world) for each, drawn in mechanisms]
    return reduce(lambda one, other: one.compose(other), losses)


def _composed(mechanism: Mechanism, drawn: int, interval: float, world: int = 0) -> Any:
    """dp_accounting's losses of all compositions."""
    keep_streams_open()
    from dp_accounting.pld import privacy_loss_distribution as pld

    count, sigma = int(mechanism.compositions), mechanism.noise_multiplier
    if drawn > 1:
        counts = [float(each) for each in range(drawn + 1)]
        chances = _chances(mechanism, drawn)
        losses = pld.from_mixture_gaussian_mechanism(sigma, counts, chances, value_discretization_interval=interval)
        return losses.self_compose(count)
    if not mechanism.amplified:
        return pld.from_gaussian_mechanism(sigma / math.sqrt(count), value_discretization_interval=interval)
    if mechanism.bins > 1:
        return bins_losses(mechanism, interval).self_compose(count)
    worlds = parts_of(mechanism)
    parts = worlds[world % len(worlds)]
    first, *others = (
        pld.from_gaussian_mechanism(part.noise, value_discretization_interval=interval, sampling_prob=part.rate)
        for part in parts
    )
    for other, part in zip(others, parts[1:], strict=True):  # at most one
        first = other.compute_mixture(first, part.weight)
    return first.self_compose(count)


def _interval(mechanism: Mechanism, drawn: int, delta: float) -> float:
    """Grid interval: fine against the loss of one composition, and neither loss takes too many points."""
    if mechanism.bins > 1:
        return bins_interval(mechanism)
    parts = parts_of(mechanism)[-1]
    squares = sum(part.weight * part.rate**2 * math.expm1(min(4.0, part.noise**-2)) for part in parts)
    deviation = mechanism.group * math.sqrt(squares)
    single, composed = _spans(mechanism, drawn, delta)
    points = _MOST_SINGLE if drawn == 1 else _MOST_SINGLE_MIXTURE
    fine = max(deviation / _PER_DEVIATION, min(_FEW / math.sqrt(mechanism.compositions), single / _CHEAP))
    return max(min(_COARSEST, fine), single / points, composed / _MOST_COMPOSED)


def _spans(mechanism: Mechanism, drawn: int, delta: float) -> tuple[float, float]:
    """How far the loss of one composition reaches, and about how far that of all; by Rényi orders up to 2."""
    from scipy.special import logsumexp

    gaps = np.geomspace(1e-3, 1.0, 13)
    single = 0.0
    growths: list[Floats] = []
    for part in parts_of(mechanism)[-1]:
        chances = [1 - part.rate, part.rate] if mechanism.group == 1 else _chances(mechanism, drawn)
        reach, growth = _span(np.asarray(chances), part.noise, gaps)
        single, growths = max(single, reach), [*growths, math.log(part.weight) + growth]
    growth = logsumexp(np.asarray(growths), axis=0)
    return single, float(np.min((mechanism.compositions * growth - math.log(delta)) / gaps))


def _span(chances: Floats, sigma: float, gaps: Floats) -> tuple[float, Floats]:
    """Reach of the loss where 0, 1, ... records come with `chances`, and the logs of its exponential moments."""
    from scipy.special import logsumexp

    counts = np.arange(len(chances))
    drawn = len(chances) - 1
    counts, chances = counts[chances > 0], chances[chances > 0]
    x = np.linspace(-_REACH * sigma, _REACH * sigma + 2 * drawn, 4001)
    loss = logsumexp(np.log(chances) + (np.outer(x, counts) - counts**2 / 2) / sigma**2, axis=1)
    density = -(x**2) / (2 * sigma**2) - math.log(sigma * math.sqrt(2 * math.pi)) + math.log(x[1] - x[0])
    growth = np.asarray([logsumexp(density + (1 + gap) * loss) for gap in gaps])
    return float(np.interp(_REACH * sigma + drawn, x, loss) - loss[0]), growth


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
    from scipy.stats import binom

    chances = [float(binom.pmf(count, mechanism.group, mechanism.rate)) for count in range(drawn)]
    return [*chances, float(binom.sf(drawn - 1, mechanism.group, mechanism.rate))]
