"""How many cases a call of a probe takes, and when rows become durable: both by time, so that a crash loses little."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 20.0
"""What a crash may lose, about: a part costs some 50 ms to check, write and flush, well under 1 % of it; calls of so
long fill their batches; and nobody minds waiting for it again."""
FIRST = 8
"""Cases of the first call, which shows what one takes: with a large model on a slow machine 64 would take minutes."""
GROWTH = 8
"""Times the cases of the last call, at most: a few cases need not be like the others. 4096 are reached in 4 calls."""
MOST = 4096
"""Cases of one call, at most: more fill batches no better, and their texts and answers lie in memory together."""


class Pace:
    """Sizes calls so that each takes about as long as a crash may lose, from the seconds of the one before."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.size = FIRST
        """Cases of the next call."""
        self._clock = clock
        self._expected = 0.0
        self._called = self._written = clock()

    @property
    def is_due(self) -> bool:
        """Whether the rows since the last part hold as much work as may be lost."""
        return self._clock() - self._written >= SECONDS

    @property
    def is_due_first(self) -> bool:
        """Whether they would, were the next call to end without them being written."""
        return self._clock() + self._expected - self._written > SECONDS

    def written(self) -> None:
        """A part was written."""
        self._written = self._clock()

    def called(self) -> None:
        """A call begins."""
        self._called = self._clock()

    def returned(self, cases: int) -> None:
        """The call of so many cases has ended."""
        each = (self._clock() - self._called) / cases
        most = min(MOST, GROWTH * cases)
        fits = most if each * most <= SECONDS else max(1, int(SECONDS / each))
        self.size = 1 << (fits.bit_length() - 1)  # a power of two: clocks that differ a little cut the cases alike
        self._expected = each * self.size
