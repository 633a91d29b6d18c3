"""The list of contents of a zip file, measured before a library reads it whole."""

from __future__ import annotations

import struct
from typing import BinaryIO

from harness.base.limits import capped, to_raise
from harness.scan.tree.api import UnreadableError

DIRECTORY_BYTES = 16 * 2**20
"""50,000 names of 300 bytes; Python's reader takes some fifteen times that."""
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")


def check_directory(file: BinaryIO) -> None:
    """Raises UnreadableError where the list of contents is missing, or takes all memory to read."""
    size = file.seek(0, 2)
    length = min(size, _END.size + 0xFFFF)
    file.seek(size - length)
    tail = file.read(length)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise UnreadableError("is no zip archive, or was cut off")
    listed = _END.unpack_from(tail, at)[5]
    if listed == 0xFFFFFFFF:
        found = tail.rfind(b"PK\6\6", 0, at)
        listed = _END64.unpack_from(tail, found)[8] if found >= 0 and at - found >= _END64.size else size
    if listed > capped(DIRECTORY_BYTES):
        raise UnreadableError(f"its list of contents takes {listed >> 20:,} MiB; {to_raise()}")
    file.seek(0)
