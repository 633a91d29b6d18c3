"""Why a claim is not verifiable."""

from __future__ import annotations

from harness.errors import UsageError


class NotVerifiableError(UsageError):
    """One sentence without the folder's path: reports print it at every level of disclosure."""

    def __init__(self, reason: str, epsilon: float | None = None) -> None:
        """`epsilon` is the bound that was recomputed, where it came to that."""
        super().__init__(reason)
        self.epsilon = epsilon
