"""What sampling for private training refuses."""

from __future__ import annotations

from harness.errors import UsageError


class SamplingError(UsageError):
    """The batches asked for cannot be drawn, or their privacy cannot be accounted for."""
