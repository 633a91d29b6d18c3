"""Regular files only: opened without following a planted link, waiting on a pipe, or reading what is not on disk."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from harness.base.limits import capped, to_raise
from harness.errors import CheckpointError

_BLOCK = 2**18
_FICLONE = 0x40049409
"""Linux ioctl that shares a file's blocks where the file system can (btrfs, xfs)."""
_SPARSE = 256 * 2**20
"""A file this large with less than a sixteenth of it on disk is no trained one; compressing file systems reach 2."""
_DIGITS = 4_000
"""Python itself refuses integers of more than 4,300 digits."""


@contextmanager
def open_regular(path: Path, most: int, within: tuple[Path, ...] = ()) -> Iterator[BinaryIO]:
    """A regular file of at most `most` bytes for reading.

    Args:
        path: a link is followed only where its end lies in one of `within`.
        most: cap before the user's factor.
        within: resolved folders.

    Raises:
        CheckpointError: missing, a link to elsewhere, no regular file, too large, sparse, or unreadable.
    """
    try:
        end = confined(path, within)
        number = os.open(end, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: missing, though it is needed; copy the whole folder") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be opened ({_why(error)})") from error
    try:
        _check(os.fstat(number), path, capped(most))
    except CheckpointError:
        os.close(number)
        raise
    with os.fdopen(number, "rb") as handle:
        yield handle


def confined(path: Path, within: tuple[Path, ...]) -> Path:
    """Where a path ends. Raises CheckpointError for a link that leaves the checkpoint."""
    if not path.is_symlink():
        return path
    try:
        end = path.resolve(strict=False)
    except RuntimeError as error:  # a loop
        raise CheckpointError(f"{path}: a link that leads back to itself; copy the file itself there") from error
    if not any(end.is_relative_to(folder) for folder in within):
        raise CheckpointError(f"{path}: a link that leaves its folder; copy the file itself there")
    return end


def is_there(path: Path) -> bool:
    """Whether anything lies at `path`, a dangling link and a name too long for the file system included."""
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False


def read_bytes(path: Path, most: int, within: tuple[Path, ...] = ()) -> bytes:
    """A whole regular file of at most `most` bytes. Raises CheckpointError."""
    with open_regular(path, most, within) as handle:
        try:
            return handle.read()
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({_why(error)})") from error


def parse_object(content: bytes, path: Path) -> dict[str, Any]:
    """The JSON object in `content`. Raises CheckpointError for anything else, however deep, long or odd."""
    try:
        text = content.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_unique, parse_int=_integer, parse_constant=_no_constant)
        if "\\ud" in text.lower():
            _refuse_surrogates(value)
    except (ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({_why(error)}); download it again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: holds no JSON object, though it should; download it again")
    return value


def copy_regular(
    source: Path, target: Path, most: int, within: tuple[Path, ...] = (), *, go_on: Callable[[], bool] = lambda: True
) -> None:
    """Copy a regular file, sharing its blocks where the file system can, as long as `go_on`. Raises CheckpointError."""
    with open_regular(source, most, within) as origin, target.open("xb", buffering=0) as out:
        try:
            fcntl.ioctl(out.fileno(), _FICLONE, origin.fileno())
            return
        except OSError:  # another file system, or one that cannot share
            pass
        left = os.fstat(origin.fileno()).st_size
        block = memoryview(bytearray(_BLOCK))  # one for all: taking new pages each time costs more than the copy
        try:
            while left and go_on() and (count := os.readv(origin.fileno(), [block[: min(_BLOCK, left)]])):
                written = 0
                while written < count:
                    written += out.write(block[written:count])
                left -= count
        except OSError as error:
            raise cannot_copy(source, error) from error
    if left and go_on():
        raise CheckpointError(f"{source}: became shorter while it was read; audit a copy nobody writes to")


def _check(status: os.stat_result, path: Path, most: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{path}: not a regular file but {_kind(status.st_mode)}; refused")
    if status.st_size > most:
        raise CheckpointError(
            f"{path}: {status.st_size:,} bytes, over the cap of {most:,} for such a file; {to_raise()}"
        )
    if status.st_size > _SPARSE and status.st_blocks * 512 < status.st_size // 16:
        raise CheckpointError(
            f"{path}: claims {status.st_size:,} bytes, of which {status.st_blocks * 512:,} are on disk; refused"
        )


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((name for test, name in kinds if test(mode)), "something else")


def cannot_copy(source: Path, error: OSError) -> CheckpointError:
    """What is said where a copy, or what is written anew beside it, cannot be written."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    way_out = "; free some space, or set ASSAY_CACHE to a folder that has it" if full else ""
    return CheckpointError(f"{source}: cannot be copied to be checked ({_why(error)}){way_out}")


def _why(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(f"{error or type(error).__name__}".split())[:120]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name that stands twice, one reader takes the first value and another the last."""
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return result


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"an integer of {len(text):,} digits")
    return int(text)


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _refuse_surrogates(value: Any) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            name.encode()
            _refuse_surrogates(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_surrogates(item)
    elif isinstance(value, str):
        value.encode()
