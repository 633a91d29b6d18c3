"""Fixtures all rooms share. Its place puts the repository root on the import path, so `tests.tiny` can be imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from privacy.accounting.streams import keep_streams_open

settings.register_profile("assay", deadline=None)  # how long an example takes says nothing about the code
settings.load_profile("assay")
os.environ.pop("MLFLOW_TRACKING_URI", None)  # a developer's own store is no place for the tests' audits
keep_streams_open()  # some tests import dp_accounting by themselves

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def unshielded() -> Iterator[None]:
    """A command run inside the tests' own process shields it (`harness.base.surroundings`); the next starts without."""
    names = ("PYTHONSAFEPATH", "PYTHONPATH")
    variables, path = {name: os.environ.get(name) for name in names}, list(sys.path)
    yield
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    sys.path[:] = path


@pytest.fixture
def real_data() -> Path:
    """The folder of real datasets and models; skips where there is none."""
    folder = Path(os.environ.get("ASSAY_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no {folder}; set ASSAY_TEST_DATA")
    return folder
