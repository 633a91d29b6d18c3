"""What accounting refuses, and how an accountant says that it failed."""

from __future__ import annotations

from harness.errors import UsageError


class AccountingError(UsageError):
    """No epsilon, or no noise, can be given for what was asked."""
