"""What was read of files, kept while the process lasts: many probes of one audit read the same file.

Nothing lives longer than the process, and no digest is kept at all: that of a dataset is made of the rows that are
used, each time, so that it can only ever name what was read. Fingerprints of checkpoints are not kept either: a verdict
stands on them, and they are taken of the private copy that is loaded.
"""

from __future__ import annotations

import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
KEPT_BYTES = 256 << 20
"""Bytes of all that is kept: four times the 50,000 film reviews that most probes read."""
SETTLED = 2.0
"""Seconds for which a file must have been left alone: two changes within one tick of its clock would look like one, and
the coarsest clock of a file system (FAT) ticks every two seconds."""
FileKey = tuple[str, int, int, int, int, int]


def file_key(path: Path) -> FileKey | None:
    """What changes when a file does: name, device, inode, size, times of its content and of its entry in ns.

    None for what is no plain file, and for one changed so lately that a change more could go unseen. The time of the
    entry cannot be set by who writes the file, as that of its content can.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    changed = max(found.st_mtime_ns, found.st_ctime_ns)
    if not stat.S_ISREG(found.st_mode) or time.time_ns() - changed < SETTLED * 1e9:
        return None
    return str(path.absolute()), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class Kept(Generic[T]):
    """By file and use, the least recently used dropped first. What is given back must not be changed."""

    def __init__(self, size: Callable[[T], int], most: int = KEPT_BYTES) -> None:
        self._size = size
        self._most = most
        self._bytes = 0
        self._found: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path, use: Hashable, read: Callable[[], T], serves: Callable[[T], bool] = lambda _: True) -> T:
        """What `read` made of the file at `path` for this use, or makes now, as what is kept `serves` no more."""
        before = file_key(path)
        if before is None:
            return read()
        key = before, use
        with self._lock:
            if key in self._found:
                if serves(self._found[key][0]):
                    self._found.move_to_end(key)
                    return self._found[key][0]
                self._bytes -= self._found.pop(key)[1]
        made = read()
        if file_key(path) == before:  # else it changed while it was read
            self._keep(key, made)
        return made

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._found.clear()
            self._bytes = 0

    def _keep(self, key: Hashable, made: T) -> None:
        size = self._size(made)
        with self._lock:
            if size > self._most or key in self._found:
                return
            self._found[key] = made, size
            self._bytes += size
            while self._bytes > self._most:
                self._bytes -= self._found.popitem(last=False)[1][1]
