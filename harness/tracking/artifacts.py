"""Where the artifacts of an MLflow run may lie, and how an audit is fetched: what a server answers is untrusted.

A server that says `artifact_uri: file:///home/…` would have us copy, or overwrite, files of this machine. Files are
named by us, not by what a listing says, and what arrives is measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from harness.base.limits import TRACKED_BYTES, TRACKED_FILES, TRACKED_SMALL_BYTES, capped, to_raise
from harness.base.stores import shown_uri, sqlite_path
from harness.record.folder import DECISIONS
from harness.tracking.session import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_CLOUD = ("s3", "r2", "b2", "gs", "wasbs", "abfss", "hdfs", "viewfs")
_OF_SERVER = ("mlflow-artifacts", "http", "https")
BESIDE = "mlartifacts"
"""Folder beside a sqlite store with the artifacts of its runs."""
_ROOTS = ("mlruns", BESIDE)
"""Folders in which MLflow itself puts artifacts, in the working folder, unless told another place."""
_SMALL = ("manifest.json", "metrics.json", "curves.json", "verdict.json", "spec.yaml")
_ROWS = "rows"
_PROBE = re.compile(r"[A-Za-z0-9][\w.\-]{0,200}")
_DECISION = re.compile(r"[0-9]{6,12}\.json")
_PART = re.compile(r"part-[0-9]{6,12}\.parquet")


class ArtifactError(TrackingError):
    """A run's artifacts lie where they must not, or are not those of an audit."""


def artifacts_of(client: MlflowClient, uri: str, run_id: str) -> Any:
    """MLflow's repository of a run's artifacts at the store `uri`, in a place that store may name.

    It is built of the very location that was checked: a client would ask the server again. Raises ArtifactError.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.utils.uri import add_databricks_profile_info_to_artifact_uri

    location = checked_location(uri, str(client.get_run(run_id).info.artifact_uri), run_id)
    return get_artifact_repository(add_databricks_profile_info_to_artifact_uri(location, uri), tracking_uri=uri)


def checked_location(uri: str, location: str, run_id: str) -> str:
    """`location`, the artifacts of a run at the store `uri`, unless that store may not name it. Raises ArtifactError.

    A server names places on itself or in a cloud's object store. A store on this machine, or a database, also names
    folders: beside a sqlite file or inside a folder store, or MLflow's default ones in the working folder.
    """
    parts = urlsplit(location)
    scheme, store = parts.scheme.lower(), urlsplit(uri)
    why = ""
    if ".." in re.split(r"[/\\]", unquote(unquote(location))) or any(ord(char) < 32 for char in location):
        why = "it leaves its folder"
    elif scheme in _CLOUD or (scheme == "dbfs" and uri.startswith("databricks")):
        return location
    elif scheme in _OF_SERVER:
        if store.scheme.lower() in ("http", "https") and (not parts.netloc or parts.netloc == store.netloc):
            return location
        why = "it is on another server"
    elif scheme in ("", "file"):
        folder = _folder(location, parts.netloc if scheme else "")
        if folder is not None and any(folder.is_relative_to(root) for root in _own_folders(uri)):
            return folder.as_uri()
        if folder is not None and (moved := _moved(folder, uri, run_id)) is not None:
            return moved.as_uri()
        why = "it is a folder of this machine that is none of the store's"
    raise ArtifactError(
        f"{shown_uri(uri)}: refused the artifacts of run {run_id} at {shown_uri(location)[:120]!r}: "
        f"{why or 'no store of audits keeps them so'}; let the MLflow server serve its artifacts"
    )


def download(repository: Any, target: Path, where: str) -> None:
    """The files an audit consists of, without its reports, into `target`. Raises ArtifactError.

    Args:
        repository: of a run's artifacts.
        target: an empty folder.
        where: store and run, to begin sentences with.
    """
    left = capped(TRACKED_BYTES)
    for count, (name, most) in enumerate(_names(repository)):
        if count >= capped(TRACKED_FILES):
            raise ArtifactError(f"{where}: over {capped(TRACKED_FILES)} files of rows; {to_raise()}")
        with _file_size_limit(min(most, left)):
            try:
                repository.download_artifacts(name, str(target))
            except OSError as error:
                raise ArtifactError(f"{where}: {name} is not downloaded ({error.strerror or error})") from error
        path = target / name
        if path.is_symlink() or not path.is_file():
            raise ArtifactError(f"{where}: {name} is no file")
        left -= path.stat().st_size
        if path.stat().st_size >= most or left <= 0:
            raise ArtifactError(f"{where}: {name} is too large for an audit; {to_raise()}")


def _names(repository: Any) -> Iterator[tuple[str, int]]:
    """Names of an audit's files that the repository lists, each with the bytes it may have."""
    listed = {str(entry.path): bool(entry.is_dir) for entry in repository.list_artifacts(None)}
    yield from ((name, capped(TRACKED_SMALL_BYTES)) for name in _SMALL if listed.get(name) is False)
    if listed.get(DECISIONS):
        for entry in repository.list_artifacts(DECISIONS):
            if not entry.is_dir and _DECISION.fullmatch(str(entry.path).removeprefix(f"{DECISIONS}/")):
                yield str(entry.path), capped(TRACKED_SMALL_BYTES)
    if not listed.get(_ROWS):
        return
    for folder in repository.list_artifacts(_ROWS):
        probe = str(folder.path).removeprefix(f"{_ROWS}/")
        if folder.is_dir and _PROBE.fullmatch(probe):
            for entry in repository.list_artifacts(f"{_ROWS}/{probe}"):
                part = str(entry.path).removeprefix(f"{_ROWS}/{probe}/")
                if not entry.is_dir and _PART.fullmatch(part):
                    yield f"{_ROWS}/{probe}/{part}", capped(TRACKED_BYTES)


@contextmanager
def _file_size_limit(limit: int) -> Iterator[None]:
    """No file of this process grows beyond `limit` bytes inside, whatever a server sends; none on Windows."""
    try:
        import resource
    except ImportError:  # not on Windows
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    most = limit if before[0] == resource.RLIM_INFINITY else min(limit, before[0])
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))  # Python ignores the signal: a write fails with EFBIG
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _folder(location: str, server: str) -> Path | None:
    """The folder a location names, links followed; None where it is on another machine."""
    if server not in ("", "localhost"):
        return None
    path = url2pathname(urlsplit(location).path) if location[:5].lower() == "file:" else location
    return Path(path).absolute().resolve()


def _moved(folder: Path, uri: str, run_id: str) -> Path | None:
    """Where a run's artifacts lie if a sqlite store was moved with them: it keeps the place that they had before.

    Only its own folder beside it, and there only what is named for the run. None where that is not there.
    """
    database = sqlite_path(uri)
    if database is None or folder.parts[-3:] != (BESIDE, run_id, "artifacts"):
        return None
    home = (database.parent / BESIDE).resolve()
    here = (home / run_id / "artifacts").resolve()
    return here if home.is_dir() and here.is_relative_to(home) else None


def _own_folders(uri: str) -> tuple[Path, ...]:
    """Folders in which a store may keep artifacts on this machine."""
    scheme = urlsplit(uri).scheme.lower()
    if scheme in ("http", "https") or uri.startswith("databricks"):
        return ()
    database = sqlite_path(uri)
    own = []
    if database is not None:
        own.append(database.parent.resolve())
    elif scheme in ("", "file"):
        folder = _folder(uri, urlsplit(uri).netloc if scheme else "")
        own += [] if folder is None else [folder]
    return (*own, *(Path(name).absolute() for name in _ROOTS))
