"""One process per audit: two that write rows of one would lose some of them without a word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.base.lock import HeldError, Lock
from harness.errors import UsageError

LOCK = "audit.lock"


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
