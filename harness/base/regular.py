"""Opens what untrusted paths name: regular files only, no larger than a cap, and never waits for one."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from harness.base.limits import to_raise
from harness.errors import UsageError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: Path, most: int) -> BinaryIO:
    """`path` open for reading. Raises UsageError: cannot be opened, no regular file, or over `most` bytes.

    O_NONBLOCK, as opening a named pipe without a writer would otherwise wait for ever.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        why = "a link to nothing" if path.is_symlink() else "no such file"
        raise UsageError(f"{path}: {why}") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise UsageError(f"{_short(path)}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            kind = next((name for test, name in _KINDS if test(found.st_mode)), "no regular file")
            raise UsageError(f"{path}: {kind}, not a file; give a regular file")
        if found.st_size > most:
            raise UsageError(f"{path}: {_mib(found.st_size)}, over the cap of {_mib(most)}; {to_raise()}")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_bounded(path: Path, most: int) -> bytes:
    """Content of a regular file of at most `most` bytes. Raises UsageError."""
    with open_regular(path, most) as file:
        try:
            content = file.read(most + 1)
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > most:  # it grew, or lies in a file system that does not know sizes
        raise UsageError(f"{path}: over the cap of {_mib(most)}; {to_raise()}")
    return content


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB" if size >= 2**20 else f"{size:,} bytes"


def _short(path: Path) -> str:
    shown = repr(str(path))[1:-1]
    return shown if len(shown) <= 200 else f"{shown[:100]}...{shown[-60:]}"
