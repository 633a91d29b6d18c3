"""Names of the accountants, what each returns, and what stops all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from privacy.accounting.errors import AccountingError
from privacy.accounting.mechanism import Mechanism

AccountantName = Literal["prv", "pld", "rdp"]

_GDP = (
    "the gdp accountant approximates by a central limit and can state less epsilon than was spent "
    "(Opacus issue 400), so no claim rests on it; choose from prv, pld, rdp"
)
_MACHINE_EPSILON = 2.0**-52
_SUMS = 1e-13
"""Rounding of sums over grids of millions of points; Opacus refuses where they would decide."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What one accountant says about epsilon at one delta."""

    accountant: AccountantName
    upper: float
    """Epsilon is at most this."""
    lower: float | None
    """Epsilon of this mechanism is at least this; None: this accountant gives none."""
    estimate: float | None
    """Best guess, no bound; None: this accountant gives none."""
    seconds: float
    """Time it took."""
    note: str | None = None
    """How the bound was come by, where that needs saying."""


def check_accountant(name: str) -> None:
    """Raises AccountingError for anything but prv, pld, rdp; says why not gdp."""
    if name.lower() in ("gdp", "gaussian"):
        raise AccountingError(_GDP)
    if name not in get_args(AccountantName):
        raise AccountingError(f"accountant {name!r} is unknown; choose from {', '.join(get_args(AccountantName))}")


def check_delta(delta: float) -> None:
    """Raises AccountingError unless delta is strictly between 0 and 1."""
    if not 0 < delta < 1:
        raise AccountingError(f"delta is {delta}; it must be above 0 and below 1")


def rounding_noise(mechanism: Mechanism, delta: float, accountant: str) -> float:
    """What sums and Fourier transforms in double precision may add to or take from delta; it grows with each step.

    Measured on compositions whose epsilon is known exactly (tests). Raises AccountingError where it would decide.
    """
    noise = _SUMS + mechanism.compositions * _MACHINE_EPSILON
    if noise > delta / 10:
        raise AccountingError(
            f"delta {delta:g} is too small for the {accountant.upper()} accountant: after {mechanism.compositions} "
            f"compositions rounding alone moves delta by {noise:.1g}; use rdp, or a delta of at least {10 * noise:.1g}"
        )
    return noise


def failure(accountant: str, mechanism: Mechanism, error: Exception) -> AccountingError:
    """The error of a library as one sentence."""
    reason = str(error).strip().rstrip(".").split("\n")[0] or type(error).__name__
    return AccountingError(
        f"the {accountant.upper()} accountant fails on noise multiplier {mechanism.noise_multiplier:g}, rate "
        f"{mechanism.rate:g}, {mechanism.compositions} compositions ({reason}); add noise or choose another accountant"
    )
