"""A private folder for the bytes of one checkpoint: what is hashed there is what is loaded from there."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.data.pypi import cache_home
from harness.errors import CheckpointError

_LOCK = ".lock"


class PrivateFolder:
    """A folder only this user can enter; gone with the object, or with the process, or when the next one is made."""

    def __init__(self) -> None:
        home = _home()
        _sweep(home)
        self.path = Path(tempfile.mkdtemp(prefix="checkpoint-", dir=home))
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._close = weakref.finalize(self, _remove, self.path, self._lock, os.getpid())

    @property
    def there(self) -> bool:
        """Whether it has not been closed."""
        return self._close.alive and self.path.is_dir()

    def close(self) -> None:
        """Remove it now."""
        self._close()


@dataclass(frozen=True, slots=True)
class Staged:
    """A checkpoint's vetted bytes in a private folder."""

    folder: PrivateFolder | None
    """None in a process that does not own it."""
    origin: Path
    """Folder or .gguf file the user named."""
    model: Path
    """Folder of the full model, or its .gguf file, inside `folder`."""
    base_origin: Path
    """Where the full model came from: `origin`, or the base of an adapter."""
    adapter: Path | None = None
    raw: dict[str, Any] = field(default_factory=dict)
    """config.json as shipped; what of it was handed on is what lies in `model`."""
    remote: bool = False
    """Whether code shipped with it is to be run."""
    notes: tuple[str, ...] = ()
    weights: str = ""
    """Digest over the full model's weights as they lie there; '' where it has not been taken."""

    @property
    def private(self) -> Path:
        """The private folder."""
        return self.model.parent if self.folder is None else self.folder.path

    @property
    def there(self) -> bool:
        """Whether its bytes are still kept."""
        return self.folder is None or self.folder.there

    @contextmanager
    def named(self) -> Iterator[None]:
        """Errors inside name the user's folder, not the private one."""
        try:
            yield
        except CheckpointError as error:
            raise CheckpointError(self.in_users_words(str(error))) from error

    def in_users_words(self, text: str) -> str:
        """`text` with the user's paths in place of the private ones."""
        if self.adapter is not None:
            text = text.replace(str(self.adapter), str(self.origin))
        return text.replace(str(self.model), str(self.base_origin)).replace(str(self.private), str(self.origin))


def _home() -> Path:
    """Below the cache, else below the system's folder for such things where the cache cannot be written."""
    wanted = cache_home() / "staging"
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        wanted.chmod(0o700)
        if os.access(wanted, os.W_OK | os.X_OK):
            return wanted
    except OSError:
        pass
    return Path(tempfile.gettempdir())


def _sweep(home: Path) -> None:
    """Remove what a killed process left: folders whose lock nobody holds."""
    for left in home.glob("checkpoint-*"):
        try:
            handle = os.open(left / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            shutil.rmtree(left, ignore_errors=True)
        finally:
            os.close(handle)


def _remove(path: Path, lock: int, owner: int) -> None:
    """Only the process that made it removes it, not one forked from it."""
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        os.close(lock)
