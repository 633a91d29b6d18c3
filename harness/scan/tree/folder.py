"""A folder, or one file of it: walked and opened name by name, so that no link is followed that was not looked at."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from harness.scan.tree.api import Entry, Kind, Tree, Unlisted, UnreadableError

_DEPTH = 64
"""Folders in folders; a git repository has six."""
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
_FILE_ENDINGS = (".json", ".txt", ".model", ".jinja", ".safetensors", ".bin", ".gguf", ".pt", ".pkl")
_KINDS = (
    (stat.S_ISREG, Kind.FILE),
    (stat.S_ISFIFO, Kind.PIPE),
    (stat.S_ISSOCK, Kind.SOCKET),
    (stat.S_ISCHR, Kind.DEVICE),
    (stat.S_ISBLK, Kind.DEVICE),
)


class FolderTree(Tree):
    """All below a folder."""

    kind, remote = "folder", False

    def __init__(self, root: Path, source: str) -> None:
        self.source = source
        self._root = root.resolve()
        self.within = _allowed(self._root)

    def entries(self) -> Iterator[Entry | Unlisted]:
        """Folder by folder, in the order the file system gives."""
        waiting: list[tuple[str, ...]] = [()]
        while waiting:
            parts = waiting.pop()
            where = "/".join(parts)
            if len(parts) > _DEPTH:
                yield Unlisted(where, f"folders nest deeper than {_DEPTH}")
                continue
            try:
                handle = self._folder(parts)
            except OSError as error:
                yield Unlisted(where or ".", f"cannot be listed ({error.strerror})")
                continue
            try:
                with os.scandir(handle) as found:
                    for each in found:
                        if each.is_dir(follow_symlinks=False):
                            waiting.append((*parts, each.name))
                            if each.name.endswith(_FILE_ENDINGS):
                                yield Entry("/".join((*parts, each.name)), 0, Kind.FOLDER)
                        else:
                            yield self._entry("/".join((*parts, each.name)), each.stat(follow_symlinks=False))
            except OSError as error:
                yield Unlisted(where or ".", f"cannot be listed to its end ({error.strerror})")
            finally:
                os.close(handle)

    def open(self, entry: Entry) -> BinaryIO:
        """See Tree; a link is followed to its end again, and only where that lies within."""
        try:
            if entry.target:
                end = os.path.realpath(self._root / entry.path)
                if not self._inside(end):
                    raise UnreadableError("the link leaves the checkpoint now")
                handle = os.open(end, _FLAGS)
            else:
                *parts, name = entry.path.split("/")
                above = self._folder(tuple(parts))
                try:
                    handle = os.open(name, _FLAGS, dir_fd=above)
                finally:
                    os.close(above)
        except (OSError, ValueError) as error:
            raise UnreadableError(f"cannot be opened ({getattr(error, 'strerror', None) or error})") from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise UnreadableError("is no regular file")
        return os.fdopen(handle, "rb")

    def _folder(self, parts: tuple[str, ...]) -> int:
        """A descriptor of a folder below the root, reached through no link."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(self._root, flags)
        for part in parts:
            above = handle
            try:
                handle = os.open(part, flags, dir_fd=above)
            finally:
                os.close(above)
        return handle

    def _entry(self, path: str, status: os.stat_result) -> Entry:
        if stat.S_ISLNK(status.st_mode):
            return self._link(path)
        kind = next((kind for test, kind in _KINDS if test(status.st_mode)), Kind.OTHER)
        stored = status.st_blocks * 512 if kind is Kind.FILE else None
        return Entry(path, status.st_size, kind, stat.S_IMODE(status.st_mode), stored=stored)

    def _link(self, path: str) -> Entry:
        full = self._root / path
        try:
            target = os.readlink(full)  # noqa: PTH115 - as it is written, not as a path
            end = os.path.realpath(full)
        except (OSError, ValueError):
            return Entry(path, 0, Kind.LINK, target="?", leaves=True)
        leaves = not self._inside(end)
        try:
            status = Path(end).lstat() if not leaves else None
        except (OSError, ValueError):
            status = None
        if status is None or not stat.S_ISREG(status.st_mode):
            folder = status is not None and stat.S_ISDIR(status.st_mode)
            return Entry(path, 0, Kind.LINK, target=target, leaves=leaves, folder=folder)
        mode = stat.S_IMODE(status.st_mode)
        return Entry(path, status.st_size, Kind.FILE, mode, target, stored=status.st_blocks * 512)

    def _inside(self, end: str) -> bool:
        return any(Path(end).is_relative_to(folder) for folder in self.within)


class FileTree(FolderTree):
    """One file of a folder, as a tree of itself."""

    kind = "file"

    def __init__(self, path: Path, source: str) -> None:
        super().__init__(path.parent, source)
        self._name = path.name

    def entries(self) -> Iterator[Entry]:
        """The file; a link that the user named is theirs to follow."""
        full = self._root / self._name
        end = Path(os.path.realpath(full))
        self.within = (*self.within, end.parent)
        entry = self._entry(self._name, os.lstat(full))
        yield entry


def _allowed(home: Path) -> tuple[Path, ...]:
    """Where links may end: in the folder, or among the blobs of the hub's own cache layout."""
    if home.parent.name == "snapshots" and home.parent.parent.name.startswith("models--"):
        return home, home.parent.parent / "blobs"
    return (home,)
