"""The audits of a folder, each read once, and again where one of its files has changed; one copy for all visitors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dashboards.audits import Entry, read_entry
from harness.base.confined import is_there
from harness.base.reading import is_folder
from harness.record.folder import MANIFEST, audits_in

_FILES = ("manifest.json", "metrics.json", "verdict.json", "tracking.json", "events.jsonl")
Stamp = tuple[tuple[int, ...], ...]
"""Times, size and number of each of an audit's small files."""


class Index:
    """What is known of a folder's audits; entries are frozen, so that pages may share them.

    Streamlit's own cache would copy every audit for every page: a third of a second for 200.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Stamp, Entry]] = {}

    def entries(self, output: Path) -> list[Entry]:
        """Every audit of the folder, newest first."""
        before, now = self._known, {}
        for folder in audits_in(output):
            path, stamp = str(folder.path), stamp_of(folder.path)
            known = before.get(path)
            now[path] = known if known is not None and known[0] == stamp else (stamp, read_entry(folder))
        self._known = now  # what was removed is forgotten
        return [*(entry for _, entry in now.values()), *_without_manifest(output)]


def _without_manifest(output: Path) -> Iterator[Entry]:
    """Folders with rows of which nothing says what they are of: an audit that is not shown would seem never made."""
    if is_folder(output):
        for path in output.iterdir():
            if not is_there(path / MANIFEST) and is_folder(path / "rows"):
                why = f"its {MANIFEST} is gone; put it back from a copy, or move the folder away"
                yield Entry(path.name, damage=why)


def stamp_of(folder: Path) -> Stamp:
    """What changes when an audit does; zeros for an absent file."""
    return tuple(_stamp(f"{folder}/{name}") for name in _FILES)


def _stamp(path: str) -> tuple[int, ...]:
    """Unpacking and copying keep a file's time, and sizes may be alike; when it changed nobody sets."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a thousand of them with every page: a Path each costs ten times as much
    except OSError:
        return 0, 0, 0, 0
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size
