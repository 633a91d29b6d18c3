"""Whether the bounds that are claimed are at least those that were recomputed."""

from __future__ import annotations

from dataclasses import replace

from harness.provenance.manifest import PrivacyClaim
from privacy.verification.errors import NotVerifiableError
from privacy.verification.recompute import Recomputed

TOLERANCE = 1e-3
"""Share of a bound by which another version of an accountant may lie above it; their own grids are as coarse."""
_ROUNDING = 1e-6


def check_bounds(claim: PrivacyClaim, found: Recomputed, alone: Recomputed | None = None) -> float:
    """The epsilon recomputed. Raises NotVerifiableError where a bound in `claim` promises more than it.

    `alone`: that of the last training, where earlier ones count as well.
    """
    found = _as_claimed(claim, found)
    if (claim.run_epsilon is None) != (alone is None):
        raise NotVerifiableError("run_epsilon stands with earlier trainings, or not at all", found.epsilon)
    if alone is not None:
        _check_upper("run_epsilon", claim.run_epsilon, alone.epsilon, found)
    if claim.accountant != found.accountant:
        raise NotVerifiableError(
            f"the manifest claims the bound of {claim.accountant.upper():.20}, recomputed it is that of "
            f"{found.accountant.upper()}",
            found.epsilon,
        )
    if (claim.second_opinion is None) != (claim.second_accountant is None):
        raise NotVerifiableError("the manifest has half a second opinion", found.epsilon)
    if claim.second_accountant not in (None, found.second_accountant):
        raise NotVerifiableError(
            f"the manifest has a second opinion of {claim.second_accountant:.20}, recomputed there is none of it",
            found.epsilon,
        )
    _check_upper("epsilon", claim.epsilon, found.epsilon, found)
    _check_upper("second_opinion", claim.second_opinion, found.second_opinion, found)
    _check_upper("rdp", claim.rdp, found.rdp, found)
    lower = claim.epsilon_lower
    if lower is not None and (found.lower is None or lower * (1 - TOLERANCE) - _ROUNDING > found.lower):
        raise NotVerifiableError(
            f"the manifest says epsilon_lower is {lower:.6g}, more than the {found.lower} recomputed", found.epsilon
        )
    return found.epsilon


def _as_claimed(claim: PrivacyClaim, found: Recomputed) -> Recomputed:
    """Older versions claimed PRV's bound of a small epsilon, where PLD's is claimed today: both hold."""
    if (claim.accountant, found.accountant, found.second_accountant) != ("prv", "pld", "prv"):
        return found
    assert found.second_opinion is not None  # it stands with its accountant
    return replace(
        found, epsilon=found.second_opinion, accountant="prv", second_opinion=found.epsilon, second_accountant="pld"
    )


def _check_upper(name: str, claimed: float | None, recomputed: float | None, found: Recomputed) -> None:
    if claimed is None or recomputed is None:
        return
    if not claimed >= recomputed * (1 - TOLERANCE) - _ROUNDING:
        raise NotVerifiableError(
            f"{name} is {recomputed:.6g} by the numbers of the privacy ledger, more than the {claimed:.6g} claimed",
            found.epsilon,
        )
