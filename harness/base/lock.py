"""One process at a time: a lock on a file, held until it is released or its process ends in any way."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from harness.base.files import explain

_HELD: set[Lock] = set()
_TRIES, _PAUSE = 5, 0.02
"""Who only asks whether a lock is free (`check_free`) has it for a moment, which must not read as held."""


class HeldError(Exception):
    """Another process holds the lock; says which."""


class Lock:
    """Held from construction to `release`, or until the process ends.

    The file stays, and names the last holder. Forked children (workers of a loader) do not hold it, so none of them can
    keep locked what a process that was killed left behind.
    """

    def __init__(self, path: Path) -> None:
        """Raises HeldError naming the process that holds it, AuditError or UsageError where the disk refuses."""
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise explain(error, path) from error
        try:
            _take(self._handle)
        except BlockingIOError as error:
            holder = _holder(self._handle)
            os.close(self._handle)
            raise HeldError(holder) from error
        except OSError as error:  # a network drive without locks
            os.close(self._handle)
            raise explain(error, path) from error
        try:
            _name_holder(self._handle)
        except OSError as error:  # a full disk, which names no file
            os.close(self._handle)
            raise explain(error, path) from error
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


def check_free(path: Path) -> None:
    """Raises HeldError where another process holds the lock of `path`; changes nothing, and waits on no pipe."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise explain(error, path) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise HeldError(_holder(handle)) from error
    finally:
        os.close(handle)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Waits for its turn among the processes that write into `folder`: of two that start at once one must be first."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> None:
    """Raises BlockingIOError where another process holds it, and not just for a moment."""
    for left in reversed(range(_TRIES)):
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not left:
                raise
            time.sleep(_PAUSE)


def _name_holder(handle: int) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()} on {socket.gethostname()} since {now}\n".encode(), 0)


def _holder(handle: int) -> str:
    return os.pread(handle, 200, 0).decode(errors="replace").strip() or "unknown"


def _let_go_in_child() -> None:
    for lock in list(_HELD):
        lock.release()


os.register_at_fork(after_in_child=_let_go_in_child)
