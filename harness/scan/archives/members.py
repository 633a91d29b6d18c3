"""Members of zip and tar archives, and what compressed streams hold, one at a time and counted."""

from __future__ import annotations

import bz2
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from harness.base.limits import WHEEL_ENTRIES, capped, to_raise
from harness.scan.budget import Budget
from harness.scan.tree.api import UnreadableError
from harness.scan.tree.directory import check_directory

_LZMA_MEMORY = 128 * 2**20
_BLOCK = 2**18
_EXTENSION_BYTES = 2**20
"""A long name or a pax record has some hundred bytes."""
ERRORS = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError,
          NotImplementedError, RuntimeError, KeyError, IndexError, OverflowError)  # fmt: skip
"""What the standard library raises on archives that are not what they say; RuntimeError: encrypted."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive."""

    name: str
    size: int
    open: Callable[[], BinaryIO]
    leaves: bool = False
    """Whether unpacking would write it, or a link would lead, outside."""
    link: str = ""
    special: bool = False


def zip_members(file: BinaryIO, budget: Budget) -> Iterator[Member]:
    """Members of a zip in a seekable file. Raises UnreadableError or one of ERRORS."""
    check_directory(file)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        most = capped(WHEEL_ENTRIES)
        for member in members[:most]:
            budget.check()
            if not member.is_dir():
                yield _zip_member(archive, member, budget)
        if len(members) > most:
            raise UnreadableError(f"holds {len(members):,} members, of which {most:,} were read; {to_raise()}")


def tar_members(file: BinaryIO, budget: Budget) -> Iterator[Member]:
    """Members of a tar, read forwards; each must be read before the next is asked for."""
    most = capped(WHEEL_ENTRIES)
    with tarfile.open(fileobj=file, mode="r|", tarinfo=_Header) as archive:
        for number, member in enumerate(archive):
            archive.members = []  # type: ignore[attr-defined]  # or the library keeps every header
            budget.check()
            if number >= most:
                raise UnreadableError(f"holds more than {most:,} members; {to_raise()}")
            if member.isdir():
                continue
            link = member.linkname if member.issym() or member.islnk() else ""
            leaves = _leaves(member.name) or (bool(link) and _leaves(link, member.name))
            special = not (member.isfile() or link)
            yield Member(member.name, member.size, _tar_opener(archive, member, budget), leaves, link, special)


def inflate(file: BinaryIO, kind: str, budget: Budget) -> BinaryIO:
    """The content of a gzip, bzip2, xz, lzma or zlib stream, forwards only, counted."""
    return cast("BinaryIO", io.BufferedReader(_Inflated(file, kind, budget), buffer_size=_BLOCK))


class _Header(tarfile.TarInfo):
    """A header whose extensions (long names, pax records), which the library reads whole, are small."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if not self.isreg() and self.size > _EXTENSION_BYTES:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return cast("tarfile.TarInfo", super()._proc_member(archive))  # type: ignore[misc]


class Counted(io.RawIOBase):
    """A stream whose bytes count as unpacked."""

    def __init__(self, source: Any, budget: Budget) -> None:
        self._source, self._budget = source, budget

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See io.RawIOBase."""
        piece = self._source.read(len(buffer))
        self._budget.unpack(len(piece))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """The source too."""
        if not self.closed:
            self._source.close()
        super().close()


class _Inflated(io.RawIOBase):
    """Decompressed piece by piece, each bounded; members that follow one another are read on."""

    def __init__(self, file: BinaryIO, kind: str, budget: Budget) -> None:
        self._file, self._kind, self._budget = file, kind, budget
        self._engine = _engine(kind)
        self._waiting = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See io.RawIOBase."""
        while True:
            if self._engine.eof:
                self._waiting = getattr(self._engine, "unused_data", b"") or self._file.read(_BLOCK)
                if self._kind == "zlib" or not self._waiting.lstrip(b"\0"):
                    return 0
                self._engine = _engine(self._kind)
            if not self._waiting and getattr(self._engine, "needs_input", True):
                self._waiting = self._file.read(_BLOCK)
                if not self._waiting:
                    return 0
            piece = self._engine.decompress(self._waiting, len(buffer))
            self._waiting = getattr(self._engine, "unconsumed_tail", b"")
            if piece:
                self._budget.unpack(len(piece))
                buffer[: len(piece)] = piece
                return len(piece)
            self._budget.check()


def _engine(kind: str) -> Any:
    if kind in ("gzip", "zlib"):
        return zlib.decompressobj(31 if kind == "gzip" else 15)
    if kind == "bzip2":
        return bz2.BZ2Decompressor()
    return lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)


def _zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, budget: Budget) -> Member:
    mode = member.external_attr >> 16
    special = stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFLNK)

    def opened() -> BinaryIO:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnreadableError("is packed in a way that is not read here")
        raw = archive.open(member)
        if member.compress_type == zipfile.ZIP_STORED:
            return cast("BinaryIO", raw)  # as large as it lies there: no more to count
        return cast("BinaryIO", io.BufferedReader(Counted(raw, budget), buffer_size=_BLOCK))

    link = "?" if stat.S_ISLNK(mode) else ""
    return Member(member.filename, member.file_size, opened, _leaves(member.filename) or bool(link), link, special)


def _tar_opener(archive: tarfile.TarFile, member: tarfile.TarInfo, budget: Budget) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        content = archive.extractfile(member) if member.isfile() else None
        if content is None:
            raise UnreadableError("is no regular file")
        return cast("BinaryIO", io.BufferedReader(Counted(content, budget), buffer_size=_BLOCK))

    return opened


def _leaves(name: str, beside: str = "") -> bool:
    """Whether a name, or what a link at `beside` names, lies outside the archive's own folder."""
    inner = PurePosixPath(name.replace("\\", "/"))
    if inner.is_absolute() or ":" in inner.parts[:1] or name[1:2] == ":":
        return True
    depth = len(PurePosixPath(beside).parts) - 1 if beside else 0
    for part in inner.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False
