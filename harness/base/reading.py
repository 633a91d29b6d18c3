"""Small files of an audit, read so that damage of any kind is one sentence that names the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from harness.base.confined import parse_object, read_bytes
from harness.errors import AuditError, CheckpointError

MAX_RECORD_BYTES = 256 * 2**20
"""Metrics of an audit with 100,000 slices are 50 MB; a manifest is far smaller."""

T = TypeVar("T")


def read_record(path: Path, adapter: TypeAdapter[T]) -> T:
    """What the adapter makes of a JSON file. Raises AuditError: no plain file, too large, or not of that form."""
    content = _content(path)
    try:
        return adapter.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:200]
        raise AuditError(f"{path}: damaged at {where or 'the top'} ({first['msg'][:200]})") from error
    except (ValueError, RecursionError) as error:
        raise AuditError(f"{path}: damaged ({' '.join(str(error).split())[:200]})") from error


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises AuditError."""
    content = _content(path)
    try:
        return parse_object(content, path)
    except CheckpointError as error:
        raise AuditError(str(error)) from error


def is_folder(path: Path) -> bool:
    """Whether a folder lies at a path; no name that a user can type makes this raise."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path, MAX_RECORD_BYTES)
    except CheckpointError as error:
        raise AuditError(str(error)) from error
