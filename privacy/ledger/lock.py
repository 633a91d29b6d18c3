"""One process per ledger."""

from __future__ import annotations

from pathlib import Path

from harness.base.lock import HeldError, Lock
from harness.base.lock import check_free as _check_free
from privacy.ledger.errors import LedgerError


def lock_of(ledger: Path) -> Lock:
    """The lock of a ledger, on a file beside it that stays. Raises LedgerError naming the process that holds it."""
    try:
        return Lock(_path(ledger))
    except HeldError as error:
        raise _in_use(ledger, error) from error


def check_free(ledger: Path) -> None:
    """Raises LedgerError where another process holds the ledger; takes and changes nothing."""
    try:
        _check_free(_path(ledger))
    except HeldError as error:
        raise _in_use(ledger, error) from error


def _path(ledger: Path) -> Path:
    return ledger.with_name(f"{ledger.name}.lock")


def _in_use(ledger: Path, holder: HeldError) -> LedgerError:
    return LedgerError(f"{ledger}: in use by process {holder}; wait for it to end, or stop it and then resume")
