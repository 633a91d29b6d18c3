"""The generic group bound: what any guarantee for one record gives to a user with several.

(e, d) for a record is (k e, d (1 + exp(e) + ... + exp((k - 1) e))) for k records: one neighbour after another. Source:
group privacy as in Vadhan 2017, The Complexity of Differential Privacy, with the sum kept instead of k exp(k e).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from privacy.accounting.errors import AccountingError

_MOST = 1e6
_ROUNDS = 60


def log_factor(epsilon: float, group: int) -> float:
    """Log of (exp(k e) - 1) / (exp(e) - 1), by which delta grows."""
    if epsilon == 0:
        return math.log(group)
    grown = math.log(-math.expm1(-group * epsilon)) - math.log(-math.expm1(-epsilon))
    return (group - 1) * epsilon + grown


def group_upper(log_delta_of: Callable[[float], float], group: int, delta: float) -> float:
    """Epsilon of `group` records at delta; `log_delta_of` gives log delta at most for one record's epsilon.

    Raises AccountingError where the record's delta does not fall fast enough for any epsilon.
    """
    target = math.log(delta)

    def holds(epsilon: float) -> bool:
        return log_delta_of(epsilon) + log_factor(epsilon, group) <= target

    low, high = 0.0, 0.25
    while not holds(high):
        low, high = high, 2 * high
        if high > _MOST:
            raise AccountingError(
                f"no group bound holds for {group} records at delta {delta:g}; add noise or lower the records per user"
            )
    for _ in range(_ROUNDS):  # `high` always holds, so stopping anywhere is sound
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
        if high - low <= 1e-6 * high:
            break
    return group * high
