"""What accounting refuses, and how an accountant says that it failed."""

from __future__ import annotations

from harness.errors import UsageError


class AccountingError(UsageError):
    """No epsilon, or no noise, can be given for what was asked."""


class NotApplicableError(AccountingError):
    """An accountant that was never made for such a mechanism: no failure, and no reason for doubt."""

    def __init__(self, accountant: str, mechanism: str, instead: str) -> None:
        super().__init__(f"the {accountant.upper()} accountant counts no {mechanism}; choose {instead}")
        self.mechanism = mechanism
        """In words."""
