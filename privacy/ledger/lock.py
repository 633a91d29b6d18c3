"""One process per ledger."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from harness.base.files import explain
from privacy.ledger.errors import LedgerError

_HELD: set[Lock] = set()


class Lock:
    """Held from construction to `release`, or until the process ends in any way.

    A file beside the ledger, which stays: it names the holder. Forked children (workers of a loader) do not hold it,
    so none of them can keep a ledger locked that the run before left behind.
    """

    def __init__(self, ledger: Path) -> None:
        """Raises LedgerError naming the process that holds it."""
        path = ledger.with_name(f"{ledger.name}.lock")
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise explain(error, path) from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            refusal = _in_use(ledger, self._handle)
            os.close(self._handle)
            raise refusal from error
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        _HELD.add(self)

    def release(self) -> None:
        """Let another process have it; again is fine."""
        if self in _HELD:
            _HELD.discard(self)
            os.close(self._handle)

    @property
    def held(self) -> bool:
        """Whether this very process holds it."""
        return self in _HELD


def check_free(ledger: Path) -> None:
    """Raises LedgerError where another process holds the ledger; takes and changes nothing."""
    try:
        handle = os.open(ledger.with_name(f"{ledger.name}.lock"), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise explain(error, ledger) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _in_use(ledger, handle) from error
    finally:
        os.close(handle)


def _in_use(ledger: Path, handle: int) -> LedgerError:
    holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "unknown"
    return LedgerError(f"{ledger}: in use by process {holder}; wait for it to end, or stop it and then resume")


def _let_go_in_child() -> None:
    for lock in list(_HELD):
        lock.release()


os.register_at_fork(after_in_child=_let_go_in_child)
