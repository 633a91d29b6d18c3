"""What every tree of entries can do: list, and open for reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Protocol


class Kind(StrEnum):
    """What an entry is to the file system."""

    FILE = "file"
    LINK = "link"
    PIPE = "pipe"
    SOCKET = "socket"
    DEVICE = "device"
    OTHER = "other"
    FOLDER = "folder"
    """Listed only where its name promises a file."""

    @property
    def special(self) -> bool:
        """Whether reading it could wait, or do anything but give bytes."""
        return self in (Kind.PIPE, Kind.SOCKET, Kind.DEVICE, Kind.OTHER)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a tree; of folders only those whose names promise a file."""

    path: str
    """Relative, with '/'; bytes that are no UTF-8 as lone surrogates."""
    size: int
    kind: Kind = Kind.FILE
    mode: int = 0
    """Permission bits; 0 where the tree has none."""
    target: str = ""
    """Of a link: what it says. A link that ends at a file of the checkpoint has kind FILE."""
    leaves: bool = False
    """Whether it ends, or would be unpacked, outside."""
    folder: bool = False
    """A link to a folder."""
    stored: int | None = None
    """Bytes on disk; None where that says nothing."""

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Unlisted:
    """Something that could not be listed, or not to its end."""

    path: str
    why: str


class UnreadableError(Exception):
    """An entry cannot be opened; the message is the reason."""


class Tree(Protocol):
    """Entries of one checkpoint."""

    source: str
    kind: str
    """folder, file, wheel or hub."""
    remote: bool
    """Whether each byte read is a byte downloaded."""

    def entries(self) -> Iterator[Entry | Unlisted]:
        """Every entry; an Unlisted for each folder that cannot be."""

    def open(self, entry: Entry) -> BinaryIO:
        """A regular file for reading, seekable unless its packing forbids. Raises UnreadableError."""
