"""One MLflow client at a time: quiet, and giving up within seconds when its server is away."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.base.stores import checked_uri
from harness.base.stores import shown_uri as shown_uri
from harness.errors import AssayError
from harness.tracking.sqlite_store import make_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Environment variables of a session; one the user has set stays as it is."""
_NOISY = ("mlflow", "alembic", "urllib3.connectionpool")
"""Loggers that tell of tables created, migrations and retries."""


class TrackingError(AssayError):
    """The audit cannot be logged to, or read from, MLflow; its folder is untouched."""


@contextmanager
def mlflow_session(uri: str) -> Iterator[MlflowClient]:
    """A client of the store at `uri`; every failure inside becomes a TrackingError. Environment and logs are restored.

    Two sessions may overlap in threads only where SETTINGS are in the environment already.
    """
    checked_uri(uri)
    added = {key: value for key, value in SETTINGS.items() if key not in os.environ}
    os.environ.update(added)
    try:
        with _quiet():
            from mlflow import MlflowClient

            make_store(uri)
            yield MlflowClient(tracking_uri=uri, registry_uri=uri)
    except AssayError:
        raise
    except Exception as error:  # stores let through errors of their own: requests, sqlalchemy, boto, missing drivers
        raise TrackingError(f"{shown_uri(uri)}: MLflow failed ({_reason(error)})") from error
    finally:
        for key in added:
            os.environ.pop(key, None)


@contextmanager
def _quiet() -> Iterator[None]:
    import mlflow  # noqa: F401  # it sets its loggers' levels when imported, so before they are raised here

    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reason(error: Exception) -> str:
    """First line of an error, shortened; a lost connection in plain words."""
    text = str(error).strip()
    for sign, plain in (
        ("Connection refused", "connection refused: nothing listens there"),
        ("Name or service not known", "no such host"),
        ("Failed to resolve", "no such host"),
        ("timed out", "no answer in time"),
    ):
        if sign in text:
            return plain
    return f"{type(error).__name__}: {text.splitlines()[0][:200]}" if text else type(error).__name__
