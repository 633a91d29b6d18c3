"""Whether the numbers of a claim are numbers that a claim can have, before anything is computed with them."""

from __future__ import annotations

import math

from harness.provenance.manifest import PrivacyClaim
from privacy.verification.errors import NotVerifiableError

_MOST = 10**12
"""Records, units or steps: a million times the largest text collections trained on, and exact in double precision."""


def check_numbers(claim: PrivacyClaim) -> None:
    """Raises NotVerifiableError naming the first number of `claim` that is none, or out of its range."""
    _reals(claim)
    counts = {
        "records": claim.records,
        "units": claim.units,
        "group": claim.group,
        "expected_batch_size": claim.expected_batch_size,
        "processes": claim.processes,
    }
    for name, value in counts.items():
        _check(name, value, 1 <= value <= _MOST, f"between 1 and {_MOST:.0e}")
    for name, value in {"steps": claim.steps, "compositions": claim.compositions}.items():
        _check(name, value, 0 <= value <= _MOST, f"between 0 and {_MOST:.0e}")
    _check("steps_lost", claim.steps_lost, 0 <= claim.steps_lost <= claim.steps, "at most the steps taken")
    for each in claim.earlier:
        _check("group of an earlier training", each.group, 1 <= each.group <= _MOST, f"between 1 and {_MOST:.0e}")
        _check("shared", each.shared, 1 <= each.shared <= claim.units, "at least 1 and at most the units")
    most = claim.units * claim.group
    _check("units", claim.units, claim.units <= claim.records <= most, "as many as the records allow")


def _reals(claim: PrivacyClaim) -> None:
    _check("epsilon", claim.epsilon, claim.epsilon >= 0, "at least 0")
    for name in ("epsilon_lower", "second_opinion", "rdp", "run_epsilon"):
        value = getattr(claim, name)
        _check(name, value, value is None or value >= 0, "at least 0")
    if claim.target_epsilon is not None:
        _check("target_epsilon", claim.target_epsilon, 0 < claim.target_epsilon < math.inf, "a positive number")
    _check("delta", claim.delta, 0 < claim.delta < 1, "between 0 and 1")
    _check("delta", claim.delta, claim.delta < 1 / max(1, claim.units), "below one over the units it protects")
    _check("noise_multiplier", claim.noise_multiplier, 0 <= claim.noise_multiplier < math.inf, "a number >= 0")
    _check("sample_rate", claim.sample_rate, 0 < claim.sample_rate <= 1, "above 0 and at most 1")
    _check("max_grad_norm", claim.max_grad_norm, 0 < claim.max_grad_norm < math.inf, "a positive number")


def _check(name: str, value: float | None, holds: bool, range_: str) -> None:
    if not holds:
        shown = f"{value:.6g}" if isinstance(value, float) else f"{value!s:.30}"
        raise NotVerifiableError(f"the manifest says {name} is {shown}, which must be {range_}")
