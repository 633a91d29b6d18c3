"""Durable small writes: a file is either the old one or the new one, whatever kills the process."""

from __future__ import annotations

import errno
import os
import re
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
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_FULL = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EFBIG: "is larger than a file may be here; raise the limit (ulimit -f) or choose another disk",
}


def write_atomic(path: Path, write: Callable[[Path], None], *, private: bool = False) -> None:
    """Let `write` fill a temporary sibling, flush it to disk, and rename it to `path`.

    Args:
        path: to replace.
        write: fills the path it is given.
        private: readable by its owner only, for a file that may lie in a folder others can read.

    Raises:
        AuditError: when the disk is full.
        UsageError: when the folder cannot be written.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if private:
            os.close(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        write(scratch)
        _flush(scratch)
        scratch.replace(path)
        _flush(path.parent)
    except Exception as error:
        scratch.unlink(missing_ok=True)
        raise explain(system_error(error), path) from error


def system_error(error: Exception) -> Exception:
    """The operating system's error behind one of a library written in Rust, which keeps its number as text only."""
    found = None if isinstance(error, OSError) else _OS_ERROR.search(str(error))
    return OSError(int(found[1]), str(error)) if found else error


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Atomically replace `path` by UTF-8 `text`."""
    write_bytes(path, text.encode(), private=private)


def write_bytes(path: Path, content: bytes, *, private: bool = False) -> None:
    """Atomically replace `path` by `content`."""
    write_atomic(path, lambda scratch: _write(scratch, content), private=private)


def make_folder(path: Path, *, shared: bool = False) -> Path:
    """Create `path` with its parents. Raises UsageError naming it when that cannot be done.

    What is created can be entered by its owner only, since rows are as confidential as the data; `shared` leaves that
    to the umask. A folder that exists keeps its mode.
    """
    try:
        _create(path, 0o777 if shared else 0o700)
    except OSError as error:
        raise explain(error, path) from error
    if not os.access(path, os.W_OK):
        raise UsageError(f"{path}: permission denied; choose a folder you can write")
    return path


def explain(error: Exception, path: Path) -> Exception:
    """The sentence a user should read for an operating-system error, or where it happened; another error itself."""
    if not isinstance(error, OSError):
        return error
    if error.errno in _FULL:
        return AuditError(
            f"{path}: {_FULL[error.errno]}; an audit goes on with `assay resume`, a training with the same command, "
            "nothing is lost"
        )
    if error.errno in _REFUSALS:
        return UsageError(f"{path}: {_REFUSALS[error.errno]}; choose a folder you can write")
    return error if error.filename is not None else OSError(error.errno, error.strerror or str(error), str(path))


def _create(path: Path, mode: int) -> None:
    """`Path.mkdir` gives its mode to the last folder only."""
    if not path.is_dir():
        if path.parent != path:
            _create(path.parent, mode)
        path.mkdir(mode=mode, exist_ok=True)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
