"""What a real GPU would have waited for, and where in the product it was asked."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PRODUCT = tuple(str(ROOT / room) for room in ("harness", "privacy", "suites"))


@dataclass(slots=True)
class Counts:
    """Since the fake device began; subtract an earlier `copy` to get those of a stretch."""

    ops: int = 0
    reads: int = 0
    """Numbers the host waits for: item, bool of a tensor, nonzero, a mask as an index. Each stalls the device."""
    to_host: int = 0
    """Tensors copied to the host; each stalls the device."""
    to_device: int = 0
    places: Counter[str] = field(default_factory=Counter)
    """Innermost line of the product that made a read or a copy -> how many; 'elsewhere' where none is below it."""

    @property
    def waits(self) -> int:
        """How often the host waited for the device."""
        return self.reads + self.to_host

    def waits_at(self, file: str) -> int:
        """Of these, those of one file of the product."""
        return sum(n for place, n in self.places.items() if file in place and not place.startswith("to_device"))

    def note(self, kind: str) -> None:
        """Count one read or copy, with its place."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.places[f"{kind} {_place()}"] += 1

    def copy(self) -> Counts:
        """As they are now."""
        return Counts(self.ops, self.reads, self.to_host, self.to_device, Counter(self.places))

    def since(self, earlier: Counts) -> Counts:
        """What came since `earlier`."""
        return Counts(
            self.ops - earlier.ops,
            self.reads - earlier.reads,
            self.to_host - earlier.to_host,
            self.to_device - earlier.to_device,
            self.places - earlier.places,
        )


def _place() -> str:
    frame = sys._getframe(1)
    while frame.f_back is not None:
        if frame.f_code.co_filename.startswith(_PRODUCT):
            return f"{Path(frame.f_code.co_filename).relative_to(ROOT)}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"
