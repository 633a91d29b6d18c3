"""One process per audit: two that write rows of one would lose some of them without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.base.lock import HeldError, Lock, check_free
from harness.errors import UsageError

LOCK = "audit.lock"
_HOLDER = re.compile(r"([0-9]{1,10}) on (\S{1,255}) since (\S{1,40})")


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that works on an audit, as it named itself when it took the lock."""

    pid: int
    host: str
    since: str
    """UTC, ISO 8601, whole seconds."""


def holder(audit: Path) -> Holder | None:
    """Who works on the audit in the folder `audit` now; None where nobody does, whatever its manifest says.

    A process that holds the lock and has not named itself has pid 0. Raises AuditError or UsageError where the disk
    refuses.
    """
    try:
        check_free(audit / LOCK)
    except HeldError as error:
        named = _HOLDER.fullmatch(str(error))
        return Holder(int(named[1]), named[2], named[3]) if named else Holder(0, "", "")
    return None


@contextmanager
def writing(audit: Path) -> Iterator[None]:
    """The audit in the folder `audit` is this process's while it lasts; one that was killed holds nothing.

    Raises UsageError naming the process that has it. Who only reads needs no lock: files appear whole.
    """
    try:
        lock = Lock(audit / LOCK)
    except HeldError as error:
        raise UsageError(
            f"{audit}: process {error} works on this audit; wait for it to end, or stop it and run `assay resume`"
        ) from error
    try:
        yield
    finally:
        lock.release()
