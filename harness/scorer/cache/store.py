"""Answers kept on disk, so that what was asked of a model in one run is not computed again in the next.

One SQLite file: a commit is there whole or not at all whatever kills the process, and several processes may write. An
entry's key is a digest of model, tokenizer, dtype, device, versions and request, so another model's answer is never
found; its own digest tells damage, and what is damaged is dropped and computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.scorer import Request
from harness.base.files import make_folder
from harness.scorer.cache.answer_text import from_text, to_text

if TYPE_CHECKING:
    from harness.checkpoint import LoadedCheckpoint

ENGINE = 1
"""Goes up whenever the scorer answers a request otherwise than before."""
FILE = "answers.sqlite"
MOST_BYTES = 4 << 30
"""Of the file: some 10 million scores of short targets. What was written first goes first."""
_PATIENCE = 60
"""Seconds to wait for another process; it holds the file for one commit."""
_AT_ONCE = 500
"""Keys of one query; SQLite takes 999 and more."""
_TABLE = "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, answer TEXT NOT NULL, digest BLOB NOT NULL)"


class AnswerStore:
    """The answers of one model in a folder that may hold others'; readable by its owner alone.

    A cache is no reason to stop: without room, or where the file cannot be used, answers are just not kept.
    """

    def __init__(self, folder: Path, loaded: LoadedCheckpoint, *, most_bytes: int = MOST_BYTES) -> None:
        """Raises UsageError where the folder cannot be made."""
        self._path = make_folder(folder) / FILE
        self._most = most_bytes
        self._identity = identity_of(loaded)

    def find(self, requests: Sequence[Request[Any]]) -> dict[Request[Any], Any]:
        """The answers that are known and undamaged, by request."""
        keys = {key: request for request in dict.fromkeys(requests) if (key := self._key(request)) is not None}
        asked, found = list(keys), {}

        def look(file: sqlite3.Connection) -> None:
            damaged = []
            for start in range(0, len(asked), _AT_ONCE):
                part = asked[start : start + _AT_ONCE]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, answer, digest FROM answers WHERE key IN ({marks})"
                for key, text, digest in file.execute(query, part).fetchall():
                    try:
                        if digest != _digest(key, text):
                            raise ValueError("damaged")
                        found[keys[key]] = from_text(text)
                    except (ValueError, TypeError, AttributeError):
                        damaged.append((key,))
            if damaged:
                file.executemany("DELETE FROM answers WHERE key = ?", damaged)

        self._use(look)
        return found

    def keep(self, requests: Sequence[Request[Any]], answers: Sequence[Any]) -> None:
        """Write down, in one commit, what may be kept: no error, nothing heavy, nothing drawn anew each time."""
        entries = []
        for request, answer in zip(requests, answers, strict=True):
            key = self._key(request)
            text = None if key is None or getattr(answer, "error", None) else to_text(answer)
            if key is not None and text is not None:
                entries.append((key, text, _digest(key, text)))
        if not entries:
            return

        def write(file: sqlite3.Connection) -> None:
            file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", entries)
            self._prune(file)

        self._use(write)

    def _key(self, request: Request[Any]) -> bytes | None:
        """None of a request whose answer is not to be kept."""
        text = None if request.heavy or request.drawn else to_text(request)
        return None if text is None else hashlib.sha256(f"{self._identity}\n{text}".encode()).digest()

    def _prune(self, file: sqlite3.Connection) -> None:
        pages, free, size = (
            file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size > self._most:
            (count,) = file.execute("SELECT count(*) FROM answers").fetchone()
            oldest = "SELECT rowid FROM answers ORDER BY rowid LIMIT ?"
            file.execute(f"DELETE FROM answers WHERE rowid IN ({oldest})", (count // 4 + 1,))

    def _use(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """One transaction on the file; what is no database is deleted, and nothing is raised."""
        try:
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
            with closing(sqlite3.connect(self._path, timeout=_PATIENCE)) as file, file:
                file.execute("PRAGMA trusted_schema = OFF")
                file.execute(_TABLE)
                work(file)
        except (OSError, sqlite3.OperationalError):
            return  # busy for a minute, read-only, or the disk is full
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            # a subclass tells a mistake of ours, not damage; of a damaged schema sqlite3 cannot even read the complaint
            if type(error) not in (sqlite3.DatabaseError, UnicodeDecodeError):
                raise
            for path in (self._path, self._path.with_name(f"{FILE}-journal")):  # a journal would go into the next file
                with suppress(OSError):
                    path.unlink()


def store_for(folder: Path | None, loaded: LoadedCheckpoint) -> AnswerStore | None:
    """The store of a model's answers in a folder, None without a folder."""
    return None if folder is None else AnswerStore(folder, loaded)


def identity_of(loaded: LoadedCheckpoint) -> str:
    """What an answer hangs on beside its request, as canonical JSON."""
    prints = loaded.info.fingerprint
    return json.dumps(
        {
            "weights": prints.weights,
            "config": prints.config,
            "tokenizer": prints.tokenizer,
            "max_tokens": loaded.info.max_tokens,
            "dtype": loaded.dtype,
            "device": loaded.device.split(":")[0],
            "engine": ENGINE,
            "versions": {name: version(name) for name in ("torch", "transformers", "tokenizers")},
        },
        sort_keys=True,
    )


def _digest(key: bytes, text: str) -> bytes:
    return hashlib.sha256(key + text.encode()).digest()
