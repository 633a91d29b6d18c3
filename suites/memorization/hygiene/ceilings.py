"""What a claimed guarantee allows an attack on membership to reach, beside what it did reach."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.provenance.manifest import EarlierRun, PrivacyClaim
from privacy.accounting import AccountingError, Mechanism
from privacy.audit import true_positive_ceiling

CURVE_RATES = (*(float(f"{step}e{power}") for power in range(-5, 0) for step in (1, 1.5, 2, 3, 5, 7)), 1.0)
"""False-positive rates of a drawn ceiling: six a decade from 1e-5, which no audit's records reach, to 1.

1, 2 and 5 of each decade are among them: a table of those need not guess between two, and a chord of a ceiling is too
low.
"""
_LEAST_NOISE = 0.3
_MOST_RELEASES = 100_000
"""Beyond these the accountant may take minutes, and a checkpoint may claim any number; the claim's epsilon is used."""


def ceilings(claim: PrivacyClaim | None, false_positive_rates: Sequence[float]) -> list[float]:
    """Highest true-positive rate [k] at each false-positive rate [k]; empty where nothing is claimed.

    By the claimed mechanisms where all their numbers are in the claim and small, and never above what its epsilon and
    delta allow alone.
    """
    if claim is None or not math.isfinite(claim.epsilon):
        return []
    plain = [_by_epsilon(claim.epsilon, claim.delta, rate) for rate in false_positive_rates]
    mechanisms = mechanisms_of(claim)
    if mechanisms is None:
        return plain
    try:
        exact = true_positive_ceiling(mechanisms, false_positive_rates)
    except AccountingError:
        return plain
    return [min(pair) for pair in zip(plain, map(float, exact), strict=True)]


def _by_epsilon(epsilon: float, delta: float, rate: float) -> float:
    """Kairouz, Oh & Viswanath 2015, theorem 2.1, at one epsilon."""
    growth = math.exp(min(epsilon, 700.0))
    return min(1.0, growth * rate + delta, 1 - (1 - delta - rate) / growth)


def mechanisms_of(claim: PrivacyClaim) -> list[Mechanism] | None:
    """What the claim and the trainings before it released; None where it does not say all, or too much to compute."""
    from privacy.sampling.bins import BallsInBinsSampling  # it imports torch and opacus: two seconds of every plan

    runs: tuple[PrivacyClaim | EarlierRun, ...] = (claim, *claim.earlier)
    if any(run.max_batch is not None or run.sampling == BallsInBinsSampling.label for run in runs):
        return None
    if any(run.noise_multiplier < _LEAST_NOISE or run.compositions > _MOST_RELEASES for run in runs):
        return None
    try:
        return [Mechanism(run.noise_multiplier, run.sample_rate, run.compositions, run.group) for run in runs]
    except AccountingError:
        return None
