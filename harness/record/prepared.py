"""Prepared state on disk: whole or not there, checked by digest whenever it is read, made again where it is damaged."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api.prepared import Arrays, as_json, made
from harness.base.files import make_folder, write_bytes, write_text
from harness.base.regular import read_bounded
from harness.errors import AuditError, UsageError

PREPARED = "prepared"
"""Folder of an audit that holds what its probes prepared, a folder per digest."""
MAX_BYTES = 4 * 2**30
"""Of one value: vectors of a million texts at 1,024 single-precision numbers each."""


class KeptOnDisk:
    """One folder of values by name; JSON and safetensors, never pickle. Readable by its owner alone.

    Digests notice damage, not malice: who can write in the folder can put other values in it, with their digests.
    """

    def __init__(self, folder: Path, *, afresh: bool = False) -> None:
        """`afresh`: what lies there already is not to be trusted, and is deleted."""
        self._folder = folder
        if afresh:
            shutil.rmtree(folder, ignore_errors=True)

    def value(self, name: str, make: Callable[[], Any] | None = None) -> Any:
        """The value kept under `name`, else made and kept. Raises AuditError: no JSON, none to make, a full disk."""
        found = self._read(name)
        if found is None:
            text = as_json(name, made(name, make))
            self._write(name, text)
            found = [json.loads(text)]
        return found[0]

    def arrays(self, name: str, make: Callable[[], Arrays] | None = None) -> dict[str, NDArray[Any]]:
        """The arrays kept under `name`, else made and kept. Raises AuditError: none to make, a full disk."""
        from safetensors.numpy import load, save

        label = f"arrays of {name}"
        path = self._path(label).with_suffix(".safetensors")
        content = self._checked(path, self._read(label))
        if content is None:
            content = save({key: np.ascontiguousarray(value) for key, value in made(name, make).items()})
            self._keep_within(name, len(content))
            write_bytes(self._made(path), content, private=True)
            self._write(label, as_json(label, hashlib.sha256(content).hexdigest()))  # last: it vouches for the file
        return dict(load(content))

    def _read(self, name: str) -> list[Any] | None:
        """[the value]; None where there is none, or another one than was written."""
        try:
            entry = json.loads(read_bounded(self._path(name), MAX_BYTES))
            text = entry["text"]
            whole = entry["name"] == name and entry["sha256"] == _digest(text)
            return [json.loads(text)] if whole else None
        except (UsageError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def _write(self, name: str, text: str) -> None:
        entry = json.dumps({"name": name, "sha256": _digest(text), "text": text})
        self._keep_within(name, len(entry))
        write_text(self._made(self._path(name)), entry + "\n", private=True)

    def _checked(self, path: Path, vouched: list[Any] | None) -> bytes | None:
        if vouched is None:
            return None
        try:
            content = read_bounded(path, MAX_BYTES)
        except UsageError:
            return None
        return content if [hashlib.sha256(content).hexdigest()] == vouched else None

    def _path(self, name: str) -> Path:
        return self._folder / f"{_digest(name)[:32]}.json"

    def _made(self, path: Path) -> Path:
        make_folder(self._folder)
        return path

    def _keep_within(self, name: str, size: int) -> None:
        if size > MAX_BYTES:
            raise AuditError(
                f"what is kept under {name!r} takes {size:,} bytes, more than {MAX_BYTES:,}; keep it in parts"
            )


def prepared_digest(**identity: Any) -> str:
    """sha256 over what prepared state depends on: probe, params, models, data."""
    return _digest(json.dumps(identity, sort_keys=True))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
