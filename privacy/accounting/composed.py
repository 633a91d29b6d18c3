"""claim_all(): the claim for a record, or a user, that several trainings read one after the other.

A checkpoint trained from another one shows what both trainings released: their mechanisms compose, each with its own
noise, rate and number of steps, and whoever is in one only is protected at least as well.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

from privacy.accounting.accountant import AccountantName, Bound, check_accountant, check_delta
from privacy.accounting.bounds import GENERIC
from privacy.accounting.claims import Claim, claim, claim_by, of_users
from privacy.accounting.errors import AccountingError
from privacy.accounting.group import group_upper
from privacy.accounting.mechanism import Mechanism
from privacy.accounting.pld import pld_composed_upper
from privacy.accounting.prv import prv_bounds
from privacy.accounting.rdp import composed_curve, composed_upper


def claim_all(mechanisms: Sequence[Mechanism], delta: float, accountant: AccountantName = "prv") -> Claim:
    """The claim for one unit that all the mechanisms read, each adaptively chosen after the ones before.

    Raises AccountingError as `claim` does, and where no mechanism is given.
    """
    check_accountant(accountant)
    check_delta(delta)
    kept = merged(mechanisms) if len(mechanisms) != 1 else tuple(mechanisms)
    if len(kept) == 1:
        return claim(kept[0], delta, accountant)
    users = any(of_users(each) for each in kept)
    reduced = tuple(each.reduced() for each in kept)
    return claim_by(lambda name: _bound(reduced, delta, name), delta, accountant, users=users)


def merged(mechanisms: Sequence[Mechanism]) -> tuple[Mechanism, ...]:
    """The same composition in as few mechanisms as possible; one without noise decides alone."""
    if not mechanisms:
        raise AccountingError("no mechanism is given; name at least one training")
    released = [each for each in mechanisms if each.compositions]
    if not released:
        return (mechanisms[0],)
    bare = [each for each in released if each.noise_multiplier == 0]
    if bare:
        return (bare[0],)
    steps: dict[Mechanism, int] = defaultdict(int)
    for each in released:
        if each.amplified:
            steps[replace(each, compositions=1)] += each.compositions
    sampled = tuple(replace(each, compositions=count) for each, count in steps.items())
    # Gaussians that are not sampled are exactly one, whose precision is the sum of theirs
    precision = sum(each.reduced().noise_multiplier ** -2 for each in released if not each.amplified)
    return (*sampled, *([Mechanism(precision**-0.5, 1.0, 1)] if precision else []))


def _bound(mechanisms: tuple[Mechanism, ...], delta: float, accountant: AccountantName) -> Bound:
    start = perf_counter()
    lower: float | None = None
    estimate: float | None = None
    note = None
    group = max(each.group for each in mechanisms)
    if accountant == "prv":
        if group > 1:
            raise AccountingError("the PRV accountant counts one record, not a user's; choose pld, or rdp for a bound")
        lower, estimate, upper = prv_bounds(mechanisms[0], delta, more=mechanisms[1:])
    elif accountant == "pld":
        upper = pld_composed_upper(mechanisms, delta)
    elif group == 1:
        upper = composed_upper(mechanisms, delta)
    else:  # one neighbour after another, each without one record more of the user in every training
        curve = composed_curve(tuple(replace(each, group=1) for each in mechanisms), math.log(delta))
        upper, note = group_upper(curve.log_delta, group, delta), GENERIC
    return Bound(accountant, upper, lower, estimate, perf_counter() - start, note)
