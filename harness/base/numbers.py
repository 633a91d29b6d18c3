"""How numbers are written for people; the same in verdicts, tables and reports."""

from __future__ import annotations

import math

from harness.base.language import _, marked

MISSING = marked("missing")
_DIGITS = 4


def number(value: float | None, digits: int = _DIGITS) -> str:
    """`value` to so many significant digits, one less below 0.1; powers of ten where that is long; None: 'missing'."""
    if value is None:
        return _(MISSING)
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -4 <= exponent < 7:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(0, digits - (1 if exponent >= -1 else 2) - exponent)}f}"


def bound(value: float) -> str:
    """A limit as its author wrote it."""
    return f"{value:.12g}"


def interval(low: float | None, high: float | None, digits: int = _DIGITS) -> str:
    """`[low, high]`; one-sided intervals in words; 'none' without either end."""
    if low is None and high is None:
        return _("none")
    if high is None:
        return _("at least {value}", value=number(low, digits))
    if low is None:
        return _("at most {value}", value=number(high, digits))
    return f"[{number(low, digits)}, {number(high, digits)}]"


def percent(share: float) -> str:
    """A share of one as a percentage without needless digits."""
    return f"{100 * share:.4g} %"


def telling_digits(value: float | None, limit: float) -> int:
    """Significant digits at which `value` still reads as below, at or above `limit`, as it is."""
    if value is None:
        return _DIGITS
    for digits in range(_DIGITS, 17):
        shown = float(number(value, digits))
        if (shown > limit) == (value > limit) and (shown < limit) == (value < limit):
            return digits
    return 18


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def padded(low: float, high: float, share: float) -> tuple[float, float]:
    """Ends of an axis a `share` of its length beyond what is drawn, but across 0 only where that is.

    Equal ends are half of their size apart from either; both 0 stay.
    """
    room = share * (high - low) or 0.5 * abs(high)
    return (
        max(0.0, low - room) if low >= 0 else low - room,
        min(0.0, high + room) if high <= 0 else high + room,
    )
