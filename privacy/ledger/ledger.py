"""The record of every noisy step, written before the noise is drawn: what is spent stays spent."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.base.files import explain, make_folder, write_atomic
from harness.base.lock import Lock
from harness.errors import AuditError
from privacy.ledger.chain import Chain, header_line, read_chain, step_line
from privacy.ledger.errors import LedgerError
from privacy.ledger.header import LedgerHeader
from privacy.ledger.lock import lock_of


class Ledger:
    """An append-only file (format: chain.py) that this process alone may write.

    With several processes rank 0 holds it, and no rank draws noise before rank 0's `spend` has returned.
    """

    def __init__(self, path: Path, chain: Chain, lock: Lock) -> None:
        """Use `create` or `open`."""
        self.path = path
        self.header = chain.header
        self.spent = chain.spent
        """Noisy steps recorded; also the next step to spend."""
        self.head = chain.head
        """Hash of the last line."""
        self._lock = lock
        self._size = chain.size
        try:
            self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            raise explain(error, path) from error

    @classmethod
    def create(cls, path: Path, header: LedgerHeader) -> Ledger:
        """Start a ledger; it appears with its header or not at all.

        Raises LedgerError when there is one or it is in use, UsageError when the folder cannot be written.
        """
        make_folder(path.parent)
        lock = lock_of(path)
        try:
            if path.exists():
                raise LedgerError(f"{path}: a privacy ledger is there; resume its run, or choose another folder")
            line, head = header_line(header)
            write_atomic(path, partial(_write, content=line))
            return cls(path, Chain(header, 0, head, size=len(line)), lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """Go on with a ledger, all of it verified; a last line torn by a crash counts as spent and is completed.

        Raises LedgerError when it is missing, was changed, or is in use.
        """
        if not path.exists():
            read_chain(path)  # says so, and leaves no lock behind
        lock = lock_of(path)
        try:
            chain = read_chain(path)
            ledger = cls(path, chain, lock)
            ledger._complete(chain.missing)
            return ledger
        except BaseException:
            lock.release()
            raise

    @property
    def chain(self) -> Chain:
        """What was read and written so far."""
        return Chain(self.header, self.spent, self.head, size=self._size)

    def spend(self, step: int) -> None:
        """Record `step` for good; only then may its noise be drawn.

        Raises LedgerError when it is not the next step, not planned, or the file was touched by another; AuditError
        when it cannot be written: then the step must not be taken, and this ledger is closed.
        """
        if step != self.spent:
            raise LedgerError(f"{self.path}: step {step} cannot be spent, the next one is {self.spent}")
        if step >= self.header.steps:
            raise LedgerError(
                f"{self.path}: all {self.header.steps} steps planned are spent; one more would break the claim of "
                "epsilon, so plan a new run"
            )
        self._check_untouched()
        line, head = step_line(step, self.head)
        self._append(line)
        self.spent, self.head = step + 1, head

    def close(self) -> None:
        """Let another process go on; again is fine."""
        if self._lock.held:
            os.close(self._handle)
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _complete(self, missing: bytes) -> None:
        if missing:
            os.truncate(self.path, self._size)  # zeros after a power cut, no content
            self._append(missing)

    def _check_untouched(self) -> None:
        if not self._lock.held:
            raise LedgerError(f"{self.path}: closed in this process; open it again to go on")
        found = os.fstat(self._handle)
        if found.st_size != self._size or found.st_nlink == 0:
            raise LedgerError(f"{self.path}: changed or deleted while training; nothing more is spent, put it back")

    def _append(self, content: bytes) -> None:
        try:
            rest = content
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fsync(self._handle)
        except OSError as error:
            self._take_back()
            self.close()
            raise AuditError(
                f"{self.path}: step {self.spent} could not be recorded ({error.strerror}) and was not taken; "
                "see to the disk, then resume"
            ) from error
        self._size += len(content)

    def _take_back(self) -> None:
        """Half a line would count as spent when the run goes on, though its noise was never drawn."""
        with suppress(OSError):
            os.ftruncate(self._handle, self._size)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
