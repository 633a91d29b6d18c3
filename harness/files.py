"""Durable small writes: a file is either the old one or the new one, whatever kills the process."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from harness.errors import AuditError, UsageError

_REFUSALS = {
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EEXIST: "a file stands where a folder is needed",
}
_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary sibling, flush it to disk, and rename it to `path`.

    Raises AuditError when the disk is full, UsageError when the folder cannot be written.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(scratch)
        _flush(scratch)
        scratch.replace(path)
        _flush(path.parent)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise explain(error, path) from error


def write_text(path: Path, text: str) -> None:
    """Atomically replace `path` by UTF-8 `text`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Atomically replace `path` by `content`."""
    write_atomic(path, lambda scratch: _write(scratch, content))


def make_folder(path: Path) -> Path:
    """Create `path` with its parents. Raises UsageError naming it when that cannot be done."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, path) from error
    if not os.access(path, os.W_OK):
        raise UsageError(f"{path}: permission denied; choose a folder you can write")
    return path


def explain(error: OSError, path: Path) -> Exception:
    """The sentence a user should read for an operating-system error; the error itself when there is none."""
    if error.errno in _FULL:
        return AuditError(
            f"{path}: {_FULL[error.errno]}; free some space; an audit goes on with `assay resume`, nothing is lost"
        )
    if error.errno in _REFUSALS:
        return UsageError(f"{path}: {_REFUSALS[error.errno]}; choose a folder you can write")
    return error


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
