"""The key under which addresses name values that may be texts to hide: one per folder of audits, so that links last."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from functools import cache
from pathlib import Path

from harness.base.regular import read_bounded
from harness.errors import AssayError

NAME = "addresses.key"
"""In the folder of audits, for its owner's eyes: whoever has it could try which text a digest in an address names."""
_BYTES = 32


@cache
def folder_key(output: Path) -> bytes:
    """The folder's key, made the first time; where it can be neither read nor written one of this process."""
    path = output / NAME
    with contextlib.suppress(OSError):
        _make(path)
    with contextlib.suppress(OSError, AssayError):
        found = read_bounded(path, _BYTES)
        if len(found) == _BYTES:
            return found
    return secrets.token_bytes(_BYTES)


def _make(path: Path) -> None:
    """A new key unless there is one; of two servers that start at once the first one's stays. Raises OSError."""
    if os.path.lexists(path):
        return
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=".addresses")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
    finally:
        os.unlink(made)  # noqa: PTH108
