"""How long a scan may take and how much it may unpack."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.base.limits import capped

SECONDS = 300
"""Of a whole scan unless the user says otherwise; weights of 7 billion parameters are read through in less."""
UNPACKED_BYTES = 2 * 2**30
"""What all archives together may unpack to before the rest is left unread."""


class BudgetError(Exception):
    """No time, or no room for more unpacked bytes; the message is the reason."""


class Budget:
    """Shared by all scanners of one scan."""

    def __init__(self, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._start = clock()
        self._unpacked = 0
        self._most = capped(UNPACKED_BYTES)

    @property
    def used(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._start

    def check(self) -> None:
        """Raises BudgetError when the time is up."""
        if self.used > self.seconds:
            raise BudgetError(f"the time was up after {self.seconds:g} s; give more with --seconds")

    def unpack(self, size: int) -> None:
        """Count bytes that came out of an archive. Raises BudgetError."""
        self._unpacked += size
        if self._unpacked > self._most:
            raise BudgetError(f"archives unpack to more than {self._most >> 20:,} MiB")
        self.check()
