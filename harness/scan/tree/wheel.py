"""A wheel, read inside its zip: nothing of it is unpacked to disk."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from harness.base.limits import WHEEL_ENTRIES, capped, to_raise
from harness.scan.tree.api import Entry, Kind, Tree, Unlisted, UnreadableError
from harness.scan.tree.directory import check_directory

_TARGET = 4096


class WheelTree(Tree):
    """The members of a zip file, or those below one path in it."""

    kind, remote = "wheel", False

    def __init__(self, path: Path, source: str, below: str = "") -> None:
        """Raises UnreadableError where the file is no zip whose list of contents can be read."""
        self.source = source
        self._below = below.strip("/")
        with path.open("rb") as file:
            check_directory(file)
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UnreadableError(f"is no zip archive, or was cut off ({str(error)[:100]})") from error
        self._members: dict[str, zipfile.ZipInfo] = {}

    def entries(self) -> Iterator[Entry | Unlisted]:
        """Members in the order of the list of contents."""
        members = self._archive.infolist()
        most = capped(WHEEL_ENTRIES)
        for member in members[:most]:
            path = self._path(member.filename)
            if path is None or member.is_dir():
                continue
            if path in self._members:
                yield Unlisted(path, "stands twice in the archive; only the first was read")
                continue
            self._members[path] = member
            yield self._entry(path, member)
        if len(members) > most:
            yield Unlisted(".", f"{len(members) - most:,} of {len(members):,} files; {to_raise()}")

    def open(self, entry: Entry) -> BinaryIO:
        """See Tree."""
        member = self._members[entry.path]
        try:
            return cast("BinaryIO", self._archive.open(member))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
            raise UnreadableError(f"cannot be read in the archive ({str(error)[:100]})") from error

    def _path(self, name: str) -> str | None:
        """Relative to what is scanned; None for what lies elsewhere in the wheel."""
        if not self._below or name == self._below:
            return name if not self._below else name.rpartition("/")[2]
        return name.removeprefix(f"{self._below}/") if name.startswith(f"{self._below}/") else None

    def _entry(self, path: str, member: zipfile.ZipInfo) -> Entry:
        mode = member.external_attr >> 16
        inner = PurePosixPath(path)
        leaves = inner.is_absolute() or ".." in inner.parts or "\\" in path or ":" in path.split("/")[0]
        if stat.S_ISLNK(mode):
            with self._archive.open(member) as content:
                target = content.read(_TARGET).decode("utf-8", "replace")
            return Entry(path, 0, Kind.LINK, target=target, leaves=True)
        return Entry(path, member.file_size, Kind.FILE, stat.S_IMODE(mode), leaves=leaves)
