"""What inspecting a checkpoint found, kept on disk, so that the next plan loads no library of models.

For a dry run alone: an audit, whose verdict stands on it, inspects each time. What is kept is found again by the bytes
of all files that an inspection may read and by whatever else it hangs on. It lies in the cache, in a folder that only
its owner can enter, as JSON with a digest of its own; what is damaged is found out anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness import __version__, checkpoint
from harness.api.checkpoint import CheckpointInfo, CheckpointSource
from harness.api.permissions import NOTHING, Permissions
from harness.base.files import make_folder
from harness.base.limits import factor
from harness.checkpoint.contents import Contents, contents_of
from harness.checkpoint.findings import Findings, described
from harness.checkpoint.inspect import examine
from harness.checkpoint.isolated.client import VARIABLE
from harness.checkpoint.resolve import resolve
from harness.data.kept import FileKey
from harness.data.pypi import cache_home
from harness.errors import AssayError
from harness.record.prepared import KeptOnDisk

FOLDER = "inspections"
_MOST = 1_000
"""Inspections kept, of 2 KB each; the one written first goes first."""
_PACKAGES = (
    *("torch", "transformers", "tokenizers", "safetensors", "gguf", "peft"),
    *("sentencepiece", "protobuf", "tiktoken"),  # without which some tokenizers cannot be read
)
_FINDINGS = TypeAdapter(Findings)


def kept_inspection(source: CheckpointSource, permissions: Permissions = NOTHING) -> CheckpointInfo:
    """As `inspect_checkpoint`, by what an earlier call found of the same files where that is kept.

    Raises CheckpointError as that does: what is refused is not kept. Nor is what shipped code may have a say in.
    """
    path, folder = resolve(source, permissions), cache_home().absolute() / FOLDER
    before = _seen(path, source, permissions, folder)
    key = None if before is None else _key(before.contents, source, permissions)
    known = None if key is None else _read(folder, key)
    if known is not None:
        return described(known, source, path, permissions)
    found, staged = examine(path, source, permissions)
    if key is not None and _seen(path, source, permissions, folder) == before:  # else files changed meanwhile
        _write(folder, key, found)
    return described(found, source, path, permissions, staged)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The files of a checkpoint at one moment."""

    contents: Contents
    state: tuple[FileKey, ...]


def _seen(path: Path, source: CheckpointSource, permissions: Permissions, folder: Path) -> _Seen | None:
    """None where nothing may be kept in `folder`; what is wrong with the files is for the inspection to say."""
    try:
        contents = contents_of(path, source, permissions)
        usable = not permissions.remote_code and not contents.around(folder) and _is_own(folder)
        state = contents.state() if usable else None
    except (AssayError, OSError):
        return None
    return None if state is None else _Seen(contents, state)


def _key(contents: Contents, source: CheckpointSource, permissions: Permissions) -> str | None:
    """sha256 over everything that what is found hangs on, Assay's own code that finds it included.

    None where a file cannot be read, or is a link to elsewhere.
    """
    try:
        digest = contents.digest()
    except (AssayError, OSError):
        return None
    own = hashlib.sha256()
    for file in sorted(Path(checkpoint.__file__).parent.rglob("*.py")):
        own.update(file.read_bytes())
    identity = {
        "assay": [__version__, own.hexdigest()],
        "packages": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": [platform.system(), platform.release(), platform.machine()],
        "settings": [os.environ.get(VARIABLE, ""), factor()],
        "permissions": asdict(permissions),
        "source": source.model_dump(),
        "contents": digest,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _is_own(folder: Path) -> bool:
    """Whether nobody else can put anything there; it need not exist yet."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return True
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _read(folder: Path, key: str) -> Findings | None:
    with suppress(AssayError, ValidationError):
        return _FINDINGS.validate_json(KeptOnDisk(folder).value(key), strict=True)
    return None


def _write(folder: Path, key: str, found: Findings) -> None:
    """A cache is no reason to stop: where it cannot be written nothing is kept."""
    with suppress(AssayError, OSError):
        make_folder(folder)
        KeptOnDisk(folder).value(key, lambda: _FINDINGS.dump_json(found).decode())
        for old in sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime)[:-_MOST]:
            old.unlink(missing_ok=True)
