"""claim(): the epsilon that a report may print, with the opinions of the other accountants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from privacy.accounting.accountant import AccountantName, Bound, check_accountant, check_delta
from privacy.accounting.bounds import GENERIC, epsilon, generic_group_bound
from privacy.accounting.errors import AccountingError, NotApplicableError
from privacy.accounting.mechanism import Mechanism

CHAIN: tuple[AccountantName, ...] = ("prv", "pld", "rdp")
"""Tightest proven first; where one fails the next is claimed."""

SLACK = 0.05
"""How far apart, plus 1 %, two upper bounds of one mechanism may lie in the wrong order before a claim is doubted."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a report prints about a mechanism."""

    epsilon: float
    """Upper bound."""
    lower: float | None
    """The mechanism's epsilon is at least this; None: not known."""
    delta: float
    accountant: AccountantName
    """Who gave `epsilon`."""
    note: str | None
    """Why it is not the accountant that was asked for, or what disagrees."""
    second_opinion: Bound | None
    """PLD; PRV where PLD is claimed; for users the generic group bound. None: it fails too."""
    rdp: Bound
    agrees: bool
    """Whether the bounds are in the order that theory demands: none below PRV's lower end, PLD's least within SLACK."""


def claim(mechanism: Mechanism, delta: float, accountant: AccountantName = "prv") -> Claim:
    """The claim by `accountant`; where it fails by the next of prv, pld, rdp, and where bounds disagree the largest.

    Raises AccountingError for a delta or a name that is none, or when even RDP fails.
    """
    check_accountant(accountant)
    check_delta(delta)
    users = of_users(mechanism)
    generic = (lambda: generic_group_bound(mechanism, delta, "pld")) if users else None
    return claim_by(lambda name: epsilon(mechanism, delta, name), delta, accountant, users=users, generic=generic)


def claim_by(
    bound_of: Callable[[AccountantName], Bound],
    delta: float,
    accountant: AccountantName,
    *,
    users: bool,
    generic: Callable[[], Bound] | None = None,
) -> Claim:
    """As `claim`, of whatever `bound_of` bounds; `users`: for users with several records, whom PRV cannot count.

    `generic` is the second opinion on PLD's bound for users.
    """
    bound, failures = _first_that_works(bound_of, accountant, users)
    rdp = bound if bound.accountant == "rdp" else bound_of("rdp")
    second = _second_opinion(bound_of, bound, users, generic)
    notes = list(failures)
    if second is not None and _coarse(bound) and second.upper < bound.upper:
        notes.append("PRV's grid is coarse beside an epsilon this small, so PLD's bound is claimed")
        bound, second = second, bound
    if failures:
        looser = "RDP's looser bound" if bound.accountant == "rdp" else f"{bound.accountant.upper()}'s bound"
        notes[-1] += f", so {looser} is claimed"
    if second is None and not failures and not users and bound.accountant == "pld":
        notes.append("PRV cannot count it, so RDP's is the only second opinion")
    agrees = _agree(bound, second, rdp)
    if not agrees:
        bound = max((each for each in (bound, second, rdp) if each is not None), key=lambda each: each.upper)
        notes.append("the accountants disagree, so the largest of their bounds is claimed; please report this")
    lowers = [each.lower for each in (bound, second) if each is not None and each.lower is not None]
    return Claim(
        epsilon=bound.upper,
        lower=max(lowers, default=None),
        delta=delta,
        accountant=bound.accountant,
        note="; ".join(notes) or None,
        second_opinion=second,
        rdp=rdp,
        agrees=agrees,
    )


def chain_from(accountant: AccountantName) -> tuple[AccountantName, ...]:
    """`accountant`, then who is asked where it fails."""
    return CHAIN[CHAIN.index(accountant) :]


def of_users(mechanism: Mechanism) -> bool:
    """Whether it takes the mixture of Gaussians to count the records of a user."""
    return mechanism.reduced().group > 1 and mechanism.compositions > 0 and mechanism.noise_multiplier > 0


def _first_that_works(
    bound_of: Callable[[AccountantName], Bound], accountant: AccountantName, users: bool
) -> tuple[Bound, list[str]]:
    failures: list[str] = []
    for name in chain_from(accountant):
        if name == "prv" and users:
            failures.append("PRV counts single records")
            continue
        try:
            return bound_of(name), failures
        except NotApplicableError as error:
            failures.append(f"{name.upper()} is not made for {error.mechanism}")
        except AccountingError as error:
            failures.append(f"{name.upper()} failed ({error})")
    raise AccountingError("no accountant can bound this: " + "; ".join(failures))


def _second_opinion(
    bound_of: Callable[[AccountantName], Bound], bound: Bound, users: bool, generic: Callable[[], Bound] | None
) -> Bound | None:
    try:
        if bound.accountant == "pld" and users:
            return generic() if generic else None
        return bound_of("prv" if bound.accountant == "pld" else "pld")
    except AccountingError:
        return None


def _coarse(bound: Bound) -> bool:
    """Whether an accountant's two ends tell less than half of what it bounds."""
    return bound.accountant == "prv" and bound.lower is not None and bound.upper - bound.lower > bound.upper / 2


def _agree(bound: Bound, second: Bound | None, rdp: Bound) -> bool:
    every = [each for each in (bound, second, rdp) if each is not None]
    lowers = [each.lower for each in every if each.lower is not None]
    if any(lower > each.upper for lower in lowers for each in every):
        return False
    tight = next((each.upper for each in every if each.accountant == "pld" and each.note != GENERIC), 0.0)
    return all(tight <= each.upper * 1.01 + SLACK for each in every)
