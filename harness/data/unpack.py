"""A data file as a stream of text, unpacked where it is gzip, and counted while it is: a header may say anything."""

from __future__ import annotations

import io
import sys
import zlib
from typing import IO, Any

from harness.base.limits import GZIP_MEMBERS, UNPACKED_BYTES, capped, to_raise
from harness.data.columns import TableError

_CHUNK = 1 << 16


def text_stream(file: IO[bytes], *, packed: bool, bounded: bool = True) -> io.TextIOWrapper:
    """UTF-8 text of `file`, a byte order mark taken off, line ends as they are. Reading raises TableError.

    `bounded`: no more than a cap is read; a reader that keeps nothing of a plain file needs none.
    """
    source = _Unpacked(file) if packed else file
    most = capped(UNPACKED_BYTES) if bounded else sys.maxsize
    return io.TextIOWrapper(io.BufferedReader(_Counted(source, most), _CHUNK), "utf-8-sig", newline="")


class _Unpacked:
    """The content of a gzip file of one or several members.

    By zlib itself: Python's gzip reads the name in a header byte by byte, which takes minutes where it is long.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._members = file, 1
        self._member = zlib.decompressobj(31)
        self._rest = b""

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end. Raises TableError: no gzip, damaged, or cut off."""
        while True:
            if self._member.eof and not self._next_member():
                return b""
            packed = self._rest or self._file.read(_CHUNK)
            if not packed:
                raise TableError("its gzip is damaged (it ends too early)")
            try:
                content = self._member.decompress(packed, size)
            except zlib.error as error:
                raise TableError(f"its gzip is damaged ({error})") from error
            self._rest = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if content:
                return content

    def _next_member(self) -> bool:
        """Whether another member follows; zero bytes after the last one are padding."""
        rest = self._rest.lstrip(b"\0") or self._file.read(_CHUNK).lstrip(b"\0")
        while not rest:
            piece = self._file.read(_CHUNK)
            if not piece:
                return False
            rest = piece.lstrip(b"\0")
        self._members += 1
        if self._members > capped(GZIP_MEMBERS):
            raise TableError(f"its gzip has more than {capped(GZIP_MEMBERS):,} members; {to_raise()}")
        self._rest, self._member = rest, zlib.decompressobj(31)
        return True


class _Counted(io.RawIOBase):
    """Bytes of a stream, counted."""

    def __init__(self, source: IO[bytes] | _Unpacked, most: int) -> None:
        self._source, self._most, self._taken = source, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._source.read(len(buffer))
        self._taken += len(piece)
        if self._taken > self._most:
            raise TableError(f"unpacks to more than {self._most >> 20} MiB; {to_raise()}")
        buffer[: len(piece)] = piece
        return len(piece)
