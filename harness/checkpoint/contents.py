"""A digest over the files that an inspection may read, taken without any library of models."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO

from harness.api.checkpoint import CheckpointSource
from harness.api.permissions import Permissions
from harness.base.confined import is_there, open_regular
from harness.checkpoint.files import ADAPTER_CONFIG, allowed_in, lay_out, read_json
from harness.checkpoint.resolve import CODE_FILES, PICKLE_FILES, SAFE_FILES
from harness.checkpoint.stage import base_of
from harness.checkpoint.tensors import MAX_FILE_BYTES
from harness.data.kept import FileKey, file_key

_READ = (*SAFE_FILES, *CODE_FILES, "*.gguf", "bpe.codes")
_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class Contents:
    """What lies in the folder of a checkpoint, and in that of an adapter's base."""

    places: tuple[str, ...]
    """Of everything: that a file is there can change which others are read."""
    read: tuple[Path, ...]
    """Files of which an inspection may read the bytes."""

    def around(self, folder: Path) -> bool:
        """Whether `folder` lies in one of theirs, where whoever made the checkpoint can put anything."""
        homes = {Path(place).parent.resolve() for place in self.places}
        return any(folder.resolve().is_relative_to(home) for home in homes)

    def state(self) -> tuple[FileKey, ...] | None:
        """What changes when one of the files does; None where one was changed only just now, or is none."""
        keys = [file_key(file) for file in self.read]
        return None if None in keys else tuple(key for key in keys if key is not None)

    def digest(self) -> str:
        """sha256 over places and bytes. Raises CheckpointError for a link to elsewhere, or no regular file."""
        total = hashlib.sha256(json.dumps([self.places, [str(file) for file in self.read]]).encode())
        for file in self.read:
            with open_regular(file, MAX_FILE_BYTES, allowed_in(file.parent)) as handle:
                total.update(_sha256(handle))
        return total.hexdigest()


def contents_of(path: Path, source: CheckpointSource, permissions: Permissions) -> Contents:
    """Of the checkpoint at `path`. Raises OSError; CheckpointError where base or weights cannot be told."""
    folders = [path]
    if path.is_dir() and is_there(path / ADAPTER_CONFIG):
        named = read_json(path / ADAPTER_CONFIG, within=allowed_in(path)).get("base_model_name_or_path")
        folders.append(base_of(path, named if isinstance(named, str) and named else None, source))
    files = [file for folder in folders for file in (sorted(folder.iterdir()) if folder.is_dir() else [folder])]
    patterns = (*_READ, *(PICKLE_FILES if permissions.pickle else ()))
    weights = set(lay_out(folders[-1], permissions).files)  # an index may give shards any name
    read = [
        file
        for file in files
        if file in weights or (any(fnmatch(file.name, each) for each in patterns) and not file.is_dir())
    ]
    return Contents(tuple(map(str, files)), tuple(read))


def _sha256(handle: BinaryIO) -> bytes:
    digest = hashlib.sha256()
    while block := handle.read(_BLOCK):
        digest.update(block)
    return digest.digest()
