"""What this kind of training refuses."""

from __future__ import annotations

from harness.errors import UsageError

ONE_SAMPLE = "use the one-sample engine (exact, but slow), or freeze it"


class ClippingError(UsageError):
    """Per-sample gradients of the model cannot be known, or not with this engine."""
