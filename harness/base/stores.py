"""MLflow stores by their URI: which one is meant, and that none carries a secret into a record."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from harness.errors import UsageError

VARIABLE = "MLFLOW_TRACKING_URI"
SQLITE = "sqlite:///"
_PATH = "path"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):/*")
_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.\-]+)(:[0-9]{1,5})?(/[\w.\-~%/]*)?")
"""Host, port and path, and nothing else."""
_DATABASES = ("sqlite", "postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle")
_USER = re.compile(r"[^:/@]*:[^@]*@")
"""Of a database URI, as SQLAlchemy reads it: a user, ':' and a password, which may hold '/'."""
_SECRET = re.compile(r"(pass|pwd|secret|token|api_?key|access_?key|credential|signature|sig$|auth)", re.IGNORECASE)
"""Names of settings in a query that are likely to hold a secret."""
_INSIDE = re.compile(r"(pwd|password|token|secret)\s*=", re.IGNORECASE)
"""A setting inside another one's value: odbc_connect=…;PWD=…"""
_PASSWORD_ELSEWHERE = (
    "put it where the driver looks for it: PGPASSWORD or ~/.pgpass for PostgreSQL, ?read_default_file=FILE for MySQL"
)


def checked_uri(uri: str, where: str = "") -> str:
    """`uri` unless it holds a user or password, which records and reports would repeat. Raises UsageError.

    Args:
        uri: of an MLflow store, or 'off'.
        where: what gave it, to begin the sentence with.
    """
    said = f"{where}: " if where else ""
    if uri != uri.strip() or any(ord(char) < 32 for char in uri):
        raise UsageError(f"{said}the MLflow URI has white space around it or holds a control character")
    scheme, rest = _split(uri)
    if scheme in ("http", "https") and not _SERVER.fullmatch(rest):
        raise UsageError(
            f"{said}{shown_uri(uri)}: an MLflow server is named by scheme, host and path alone; "
            "put credentials in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    if shown_uri(uri) != uri:
        raise UsageError(f"{said}{shown_uri(uri)}: a password or token must not stand in it; {_PASSWORD_ELSEWHERE}")
    return uri


def shown_uri(uri: str) -> str:
    """`uri` without user and password of a server, the password of a database, and secrets in a query."""
    scheme, rest = _split(uri)
    head = uri[: len(uri) - len(rest)]
    if scheme == _PATH:
        return uri
    if scheme.partition("+")[0] not in _DATABASES:
        rest = re.split("@|%40", rest)[-1]
        return head + (re.split("[?#]", rest)[0] if scheme in ("http", "https") else _bare_query(rest))
    if _USER.match(rest):
        user = rest.partition(":")[0]
        rest = rest.rpartition("@")[2]
        rest = f"{user}@{rest}" if user else rest
    return head + _bare_query(rest)


def without_secrets(text: str) -> str:
    """Text, for example a command line, with every URI in it as `shown_uri` gives it."""
    return re.sub(r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s'\"]+", lambda found: shown_uri(found[0]), text)


def clean_note(note: Mapping[str, str]) -> dict[str, str]:
    """A note of where something was logged; one written by an early version may hold a password."""
    return {key: shown_uri(value) if key == "uri" and isinstance(value, str) else value for key, value in note.items()}


def default_uri(output: Path) -> str:
    """The store where nobody named one: MLFLOW_TRACKING_URI, else the sqlite store beside the audits of `output`."""
    return store_of_environment() or f"{SQLITE}{output.absolute() / 'mlflow.db'}"


def store_of_environment() -> str | None:
    """MLFLOW_TRACKING_URI, checked; None where it is not set. Raises UsageError."""
    given = os.environ.get(VARIABLE, "").strip()
    return checked_uri(given, VARIABLE) if given else None


def sqlite_path(uri: str) -> Path | None:
    """File of a sqlite store; None for other stores."""
    return Path(uri.removeprefix(SQLITE).partition("?")[0]).absolute() if uri.startswith(SQLITE) else None


def store_beside(uri: str, audit: Path) -> str:
    """`uri`, or the store of the same name beside the folder of an audit, with which it was moved: its own is gone."""
    database = sqlite_path(uri)
    if database is None or database.exists() or not (audit.absolute().parent / database.name).is_file():
        return uri
    return f"{SQLITE}{audit.absolute().parent / database.name}"


def absolute_uri(uri: str) -> str:
    """`uri`, a file or folder in it by its absolute path."""
    database = sqlite_path(uri)
    if database is not None and uri != SQLITE:
        return SQLITE + str(database) + "".join(uri.removeprefix(SQLITE).partition("?")[1:])
    if uri.startswith("databricks") or uri == "uc" or _SCHEME.match(uri):
        return uri
    return str(Path(uri).absolute())


def _split(uri: str) -> tuple[str, str]:
    """Scheme in lower case, '' for none, and what follows it and its slashes; _PATH where all of it names a file."""
    found = _SCHEME.match(uri)
    scheme = found[1].lower() if found else ""
    if scheme in ("sqlite", "file") and uri[len(scheme) :].startswith(":///"):
        return _PATH, uri  # in which @ and : are letters
    if found is None or not uri[found.end(1) :].startswith(":/"):
        server = uri.lstrip("/").partition("/")[0]
        return ("", uri) if ":" in server.partition("@")[0] and "@" in server else (_PATH, uri)
    return scheme, uri[found.end() :]


def _bare_query(rest: str) -> str:
    """What follows a scheme, without the settings of its query that are secret."""
    path, _, query = rest.partition("?")
    kept = [part for part in query.split("&") if part and not _is_secret(part)]
    return path + ("?" + "&".join(kept) if kept else "")


def _is_secret(part: str) -> bool:
    name, _, value = part.partition("=")
    return _SECRET.search(unquote(name)) is not None or _INSIDE.search(unquote(value)) is not None
