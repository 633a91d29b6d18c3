"""What keeps a private run from going on."""

from __future__ import annotations

from harness.errors import UsageError


class LedgerError(UsageError):
    """The ledger, or the state beside it, does not prove what was spent."""
