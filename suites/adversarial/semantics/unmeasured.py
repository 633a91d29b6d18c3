"""What stands in for a measure that could not be taken."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """No value, and why."""

    why: str
