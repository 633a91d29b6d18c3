"""How much privacy training spends: upper bounds on epsilon, the claim that a report prints, noise for a target."""

from __future__ import annotations

from privacy.accounting.accountant import AccountantName, Bound
from privacy.accounting.bounds import epsilon
from privacy.accounting.calibration import calibrate, calibrate_mechanism, delta_of
from privacy.accounting.claims import Claim, claim
from privacy.accounting.composed import claim_all
from privacy.accounting.errors import AccountingError
from privacy.accounting.mechanism import Mechanism

__all__ = [
    "AccountantName",
    "AccountingError",
    "Bound",
    "Claim",
    "Mechanism",
    "calibrate",
    "calibrate_mechanism",
    "claim",
    "claim_all",
    "delta_of",
    "epsilon",
]
