"""A lower bound on epsilon from one training, on the trade-off curve of its own accounting instead of a Gaussian one.

Source: Mahloujifar, Melis & Chaudhuri 2025 (ICML, arXiv 2410.22235), theorem 3.2 and algorithm 3, which hold for any
curve. Hypotheses are the training's mechanisms at several sizes of noise; what excludes one excludes that noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import UsageError
from privacy.accounting import Mechanism
from privacy.accounting.pld import pld_deltas
from privacy.audit.guesses import Guesses, guess
from privacy.audit.one_run import shares_excluded
from privacy.audit.result import Audited, Bound, check_levels

Floats = NDArray[np.float64]

NOISE = tuple(2.0 ** (power / 3) for power in range(9, -7, -1))
"""Times the noise of the accounting, from eight to a quarter; neighbours differ by a quarter, as what is shown does."""
_POINTS = 48
"""Of a curve. Each (epsilon, delta) bounds it by two lines, so that fewer only exclude less."""
_LOWEST_DELTA = 1e-7
_OVERFLOWS = 700.0
"""From here on e^epsilon is no number, and no rate that is one tells epsilons apart."""


@dataclass(frozen=True, slots=True)
class TradeOff:
    """A curve by (epsilon, delta) it satisfies, both [points]; `epsilon` is that at the audit's delta."""

    epsilon: float
    epsilons: tuple[float, ...]
    deltas: tuple[float, ...]

    def least_false(self, true: Floats) -> Floats:
        """Least false-positive rates that allow true-positive rates [k]."""
        growth, deltas = np.exp(np.minimum(self.epsilons, _OVERFLOWS)), np.asarray(self.deltas)
        straight = (true[:, None] - deltas) / growth
        mirrored = 1 - deltas - growth * (1 - true[:, None])
        return np.asarray(np.maximum(0.0, np.maximum(straight, mirrored).max(axis=1)), dtype=np.float64)


def hypotheses(mechanisms: Sequence[Mechanism], delta: float) -> tuple[TradeOff, ...]:
    """The mechanisms at each size of noise, the smallest epsilon first. Raises AccountingError where that fails."""
    found = []
    for factor in NOISE:
        scaled = [replace(each, noise_multiplier=factor * each.noise_multiplier) for each in mechanisms]
        epsilons, deltas = pld_deltas(scaled, min(delta, _LOWEST_DELTA), _POINTS)
        enough = deltas <= delta
        found.append(TradeOff(float(epsilons[enough][0]), tuple(epsilons.tolist()), tuple(deltas.tolist())))
    return tuple(found)


def audit_own_curve(
    scores: ArrayLike,
    coins: ArrayLike,
    counts: Sequence[tuple[int, int]],
    delta: float,
    confidence: float,
    curves: Sequence[TradeOff],
) -> Audited:
    """As `audit_one_run`, on `curves` from the smallest epsilon up: the last that is excluded before one is not.

    Raises UsageError as that does, and for no curves.
    """
    check_levels(delta, confidence, Bound.ONE_RUN_OWN)
    pairs = list(dict.fromkeys(counts))
    if not pairs or not curves:
        raise UsageError("no numbers of guesses, or no curves, to audit with; give at least one")
    error = (1 - confidence) / len(pairs)
    made = [guess(scores, coins, plus, minus) for plus, minus in pairs]
    lowers = [_lower(each, curves, error) for each in made]
    best = int(np.argmax(lowers))
    chosen = made[best]
    most = Guesses(chosen.canaries, chosen.canaries, 0, chosen.canaries)
    return Audited(
        lower=lowers[best],
        delta=delta,
        confidence=confidence,
        bound=Bound.ONE_RUN_OWN,
        canaries=chosen.canaries,
        guesses=chosen.made,
        right=chosen.right,
        plus=chosen.plus,
        minus=chosen.minus,
        tried=len(pairs),
        ceiling=_lower(most, curves, error),
        heuristic=False,
    )


def _lower(made: Guesses, curves: Sequence[TradeOff], error: float) -> float:
    lower = 0.0
    for curve in curves:
        if not shares_excluded(made.canaries, made.made, made.right, curve.least_false, np.ones(1), error)[0]:
            break
        lower = curve.epsilon
    return lower
