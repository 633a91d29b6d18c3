"""`pypi:NAME==VERSION!path#sha256=HEX` sources: a wheel is downloaded alone, checked and unzipped; never run.

pip does the download, so mirrors and proxies configured for it are honoured; only wheels are taken, since building a
source distribution would run its code.
"""

from __future__ import annotations

import hashlib
import os
import re
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.base.limits import PIP_MEMORY, capped
from harness.base.surroundings import python_environment
from harness.data.wheel import WheelError, unpack_wheel
from harness.errors import UsageError

_PATTERN = re.compile(
    r"pypi:(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*?)"
    r"!(?P<path>[^#]+)(#sha256=(?P<sha256>[0-9a-fA-F]{64}))?"
)
_LONGEST = 2_000
"""Characters of a source; the pattern takes quadratic time."""


@dataclass(frozen=True, slots=True)
class PypiSource:
    """A path inside one wheel of a package registry, pinned by the wheel's sha256."""

    name: str
    version: str
    path: str
    sha256: str


def is_pypi(source: str) -> bool:
    """Whether `source` is a registry source."""
    return source.startswith("pypi:")


def parse_pypi(source: str) -> PypiSource:
    """Parts of a registry source. Raises UsageError: bad form, missing digest, or a path that leaves the wheel."""
    match = _PATTERN.fullmatch(source) if len(source) <= _LONGEST else None
    if match is None:
        raise UsageError(
            f"{source[:200]}: not of the form pypi:NAME==VERSION!path/in/wheel#sha256=<64 hex digits of the wheel>"
        )
    if match["sha256"] is None:
        raise UsageError(f"{source}: unpinned; add #sha256=<digest of the wheel> so that what is loaded cannot change")
    inner = PurePosixPath(match["path"])
    if inner.is_absolute() or ".." in inner.parts or not match["path"].isprintable():
        raise UsageError(f"{source}: the path must lie inside the wheel")
    if any(len(part.encode()) > 255 for part in inner.parts):
        raise UsageError(f"{source[:200]}: a name of more than 255 bytes; no wheel holds one")
    return PypiSource(match["name"], match["version"], inner.as_posix(), match["sha256"].lower())


def cache_home() -> Path:
    """Folder of downloads: $ASSAY_CACHE, else $XDG_CACHE_HOME/assay, else ~/.cache/assay."""
    own = os.environ.get("ASSAY_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "assay"


def pypi_file(source: str) -> Path:
    """Local path of what a registry source names (file or folder), downloaded at most once per digest."""
    wanted = parse_pypi(source)
    root = cache_home().absolute() / "pypi" / wanted.sha256
    if not root.is_dir():
        _fetch(wanted, root)
    found = root / wanted.path
    if not found.exists():
        raise UsageError(f"{source}: the wheel holds no {wanted.path!r}; it lies unpacked in {root}")
    return found


def download_wheel(wanted: PypiSource, scratch: Path) -> Path:
    """The wheel itself, in `scratch`, its digest checked; not unpacked. Raises UsageError."""
    return _download(wanted, scratch)


def _fetch(wanted: PypiSource, root: Path) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
        wheel = _download(wanted, Path(scratch))
        unpacked = Path(scratch) / "unpacked"
        try:
            unpack_wheel(wheel, unpacked)
        except WheelError as error:
            raise UsageError(f"pypi:{wanted.name}=={wanted.version}: {error}") from error
        try:
            unpacked.rename(root)
        except OSError:  # another process was first with the same digest
            if not root.is_dir():
                raise


def _download(wanted: PypiSource, scratch: Path) -> Path:
    pinned = f"{wanted.name}=={wanted.version}"
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{pinned} --hash=sha256:{wanted.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--disable-pip-version-check", "-d", str(scratch), "-r", str(requirements)]
    code, said = _run(command, scratch)
    wheels = list(scratch.glob("*.whl"))
    if code != 0 or len(wheels) != 1:
        errors = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines()[-1:]
        if "DO NOT MATCH THE HASHES" in said:
            errors = ["the registry's wheel has another sha256 than the one pinned"]
        raise UsageError(
            f"pypi:{pinned}: not downloaded ({' '.join(errors)[:300]}); check the name, version and network"
        )
    with wheels[0].open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != wanted.sha256:
        raise UsageError(f"pypi:{pinned}: the downloaded wheel has another sha256 than the one pinned")
    return wheels[0]


def _run(command: list[str], folder: Path) -> tuple[int, str]:
    """Exit code and standard error of pip, within the memory allowed where the system can limit it (Linux).

    It runs in `folder`, where nothing lies that pip or Python could take for theirs.
    """
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, stdin=quiet, stdout=quiet, stderr=subprocess.PIPE, cwd=folder, env=python_environment()
    ) as pip:
        if sys.platform == "linux":
            resource.prlimit(pip.pid, resource.RLIMIT_AS, (capped(PIP_MEMORY), capped(PIP_MEMORY)))
        _, said = pip.communicate()
    return pip.returncode, said.decode(errors="replace")
