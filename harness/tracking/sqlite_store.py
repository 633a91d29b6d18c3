"""A new sqlite store of MLflow appears whole: two audits that start at once would make its tables twice and fail.

MLflow makes them by some forty migrations, which take seconds and cannot be undone in the middle. They run on a copy
aside, which then takes the store's name unless another process was first. That holds after a kill, without a lock.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from harness.base.stores import SQLITE, sqlite_path


def make_store(uri: str) -> None:
    """Make the file of a sqlite store that has none, readable by its owner only; other stores are left alone."""
    path = sqlite_path(uri)
    if path is None or "?" in uri or path.exists() or not path.parent.is_dir():
        return
    if not os.access(path.parent, os.W_OK):
        return  # MLflow says so in its own words
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
        made, whole = Path(scratch) / "made.db", Path(scratch) / "whole.db"
        made_uri = f"{SQLITE}{made}"
        MlflowClient(tracking_uri=made_uri, registry_uri=made_uri).search_experiments(max_results=1)
        os.close(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(whole)) as target:
            source.backup(target)  # whatever MLflow's connection, which stays open, has not written to the file itself
        with suppress(FileExistsError):  # another process was first
            os.link(whole, path)
