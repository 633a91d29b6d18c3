"""Unpacks a wheel that nobody vouches for: plain files of plain names only, and what comes out is counted."""

from __future__ import annotations

import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from harness.base.limits import (
    WHEEL_BYTES,
    WHEEL_DIRECTORY,
    WHEEL_ENTRIES,
    WHEEL_FLOOR,
    WHEEL_RATIO,
    WHEEL_UNPACKED_BYTES,
    capped,
    to_raise,
)
from harness.base.regular import open_regular
from harness.errors import UsageError

_CHUNK = 1 << 20
_LONGEST_NAME = 255
"""Bytes of one part of a path, on every file system in use."""
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENCRYPTED = 0x1


class WheelError(UsageError):
    """What is wrong with a wheel."""


def unpack_wheel(wheel: Path, target: Path) -> None:
    """Write the files of a wheel below the new folder `target`. Raises WheelError where anything in it is amiss.

    No header is believed: sizes and check sums are those of what came out.
    """
    try:
        with open_regular(wheel, capped(WHEEL_BYTES)) as file:
            left = _room(_check_directory(file))
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                _check_entries(entries)
                target.mkdir(parents=True)
                for entry in entries:
                    if not entry.is_dir():
                        left -= _write(archive, entry, target, left)
    except WheelError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, UnicodeError) as error:
        raise WheelError(f"its archive is damaged ({str(error)[:150] or type(error).__name__})") from error
    except (NotImplementedError, RuntimeError, ValueError, LookupError) as error:
        raise WheelError(f"its archive cannot be read ({str(error)[:150] or type(error).__name__})") from error
    except OSError as error:
        raise WheelError(f"it cannot be unpacked ({error.strerror or error})") from error


def _room(size: int) -> int:
    """Bytes that a wheel of `size` may unpack to."""
    return min(capped(WHEEL_UNPACKED_BYTES), max(capped(WHEEL_FLOOR), size * capped(WHEEL_RATIO)))


def _check_directory(file: BinaryIO) -> int:
    """Size of the wheel. Refuses a list of contents that takes all memory to read; `zipfile` reads it whole."""
    size = file.seek(0, 2)
    tail_size = min(size, _END.size + 0xFFFF)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise WheelError("it is no zip archive, or was cut off")
    length = _END.unpack_from(tail, at)[5]
    if length == 0xFFFFFFFF:
        found = tail.rfind(b"PK\6\6", 0, at)
        length = _END64.unpack_from(tail, found)[8] if found >= 0 and at - found >= _END64.size else size
    if length > capped(WHEEL_DIRECTORY):
        raise WheelError(f"its list of contents takes {length >> 20:,} MiB; {to_raise()}")
    file.seek(0)
    return size


def _check_entries(entries: Sequence[zipfile.ZipInfo]) -> None:
    if len(entries) > capped(WHEEL_ENTRIES):
        raise WheelError(f"it holds {len(entries):,} files, over the cap of {capped(WHEEL_ENTRIES):,}; {to_raise()}")
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for entry in entries:
        name = entry.filename
        _check_name(name)
        _check_kind(entry)
        parts = PurePosixPath(name).parts
        if not parts:
            _unsafe(name, "has no name")
        if not entry.is_dir():
            key = _folded(parts)
            if key in files:
                _unsafe(name, f"is there twice, or but for its case, as {files[key][:60]!r}")
            files[key] = name
        for depth in range(1, len(parts) + entry.is_dir()):
            folder = "/".join(parts[:depth])
            if folders.setdefault(_folded(parts[:depth]), folder) != folder:
                _unsafe(name, "lies in a folder that is there twice but for its case")
    both = next((folder for folder in folders if folder in files), None)
    if both is not None:
        _unsafe(files[both], "is both a file and a folder")


def _check_name(name: str) -> None:
    inner = PurePosixPath(name)
    if inner.is_absolute() or ".." in inner.parts or "\\" in name or ":" in inner.parts[:1]:
        _unsafe(name, "leads out of the archive")
    if not name.isprintable():
        _unsafe(name, "has control characters in its name")
    if any(len(part.encode("utf-8", "surrogatepass")) > _LONGEST_NAME for part in inner.parts):
        _unsafe(name, f"has a name of more than {_LONGEST_NAME} bytes")


def _check_kind(entry: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or ((kind == stat.S_IFDIR) != entry.is_dir() and kind):
        what = "a link" if kind == stat.S_IFLNK else "no plain file"
        _unsafe(entry.filename, f"is {what}")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # LZMA takes what memory it says
        _unsafe(entry.filename, "is packed in another way than wheels are")
    if entry.flag_bits & _ENCRYPTED:
        _unsafe(entry.filename, "is encrypted")


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Bytes written of an entry, at most `left`."""
    path = target / PurePosixPath(entry.filename)
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, path.open("xb") as out:
        written = _copy(source, out, left)
    if written != entry.file_size:
        raise WheelError(f"its archive is damaged ({entry.filename[:80]!r} has another size than its header says)")
    return written


def _copy(source: IO[bytes], out: IO[bytes], left: int) -> int:
    written = 0
    while piece := source.read(_CHUNK):
        written += len(piece)
        if written > left:
            raise WheelError(f"it unpacks to far more than a wheel of its size does; {to_raise()}")
        out.write(piece)
    return written


def _folded(parts: Sequence[str]) -> str:
    """Names that one file system or another takes for the same."""
    return unicodedata.normalize("NFC", "/".join(parts)).casefold()


def _unsafe(name: str, why: str) -> None:
    raise WheelError(f"refused, its archive holds an unsafe entry: {name[:80]!r} {why}")
