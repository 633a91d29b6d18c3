"""epsilon(): one accountant's bound for one mechanism."""

from __future__ import annotations

import math
from dataclasses import replace
from time import perf_counter

from privacy.accounting.accountant import AccountantName, Bound, check_accountant, check_delta
from privacy.accounting.errors import AccountingError
from privacy.accounting.group import group_upper
from privacy.accounting.mechanism import Mechanism
from privacy.accounting.pld import pld_log_delta, pld_upper
from privacy.accounting.prv import prv_bounds
from privacy.accounting.rdp import rdp_upper, renyi_curve

GENERIC = "generic group bound"


def epsilon(mechanism: Mechanism, delta: float, accountant: AccountantName = "prv") -> Bound:
    """Bound on epsilon at delta, for adding or removing one unit.

    `prv` gives both ends, of records; `pld` an upper end, for users the tight one; `rdp` a looser upper end that never
    fails, for users by the generic group bound. Raises AccountingError when the accountant fails or is no accountant.
    """
    check_accountant(accountant)
    check_delta(delta)
    start = perf_counter()
    lower, estimate, upper, note = _ends(mechanism, delta, accountant)
    return Bound(accountant, upper, lower, estimate, perf_counter() - start, note)


def generic_group_bound(mechanism: Mechanism, delta: float, accountant: AccountantName) -> Bound:
    """Epsilon of a user by the generic bound over pld or rdp of a record. Raises AccountingError as `epsilon` does."""
    start = perf_counter()
    record = replace(mechanism, group=1)
    log_delta_of = (
        renyi_curve(record, math.log(delta)).log_delta if accountant == "rdp" else pld_log_delta(record, delta)
    )
    upper = group_upper(log_delta_of, mechanism.group, delta)
    return Bound(accountant, upper, None, None, perf_counter() - start, GENERIC)


def _ends(
    mechanism: Mechanism, delta: float, accountant: AccountantName
) -> tuple[float | None, float | None, float, str | None]:
    if mechanism.compositions == 0:
        return 0.0, 0.0, 0.0, None
    if mechanism.noise_multiplier == 0:
        return math.inf, math.inf, math.inf, None
    mechanism = mechanism.reduced()
    if mechanism.group > 1 and accountant == "prv":
        raise AccountingError(
            f"the PRV accountant counts one record, not a user's {mechanism.group}; choose pld, or rdp for a bound"
        )
    if mechanism.group > 1 and accountant == "rdp":
        bound = generic_group_bound(mechanism, delta, "rdp")
        return None, None, bound.upper, bound.note
    if accountant == "prv":
        lower, estimate, upper = prv_bounds(mechanism, delta)
        return lower, estimate, upper, None
    upper = pld_upper(mechanism, delta) if accountant == "pld" else rdp_upper(mechanism, delta)
    return None, None, upper, None
