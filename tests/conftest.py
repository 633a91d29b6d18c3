"""Fixtures all rooms share. Its place puts the repository root on the import path, so `tests.tiny` can be imported."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from privacy.accounting.streams import keep_streams_open

settings.register_profile("assay", deadline=None)  # how long an example takes says nothing about the code
settings.load_profile("assay")
os.environ.pop("MLFLOW_TRACKING_URI", None)  # a developer's own store is no place for the tests' audits
keep_streams_open()  # some tests import dp_accounting by themselves

ROOT = Path(__file__).parents[1]


_HEAVY = re.compile(
    r"\b(subprocess|multiprocessing|torch|transformers|textattack|mlflow|streamlit|hypothesis|tests\.tiny|tests\.privacy\.\w+)\b"
)
"""A test file that names one of these starts processes, makes a model, or draws hundreds of examples."""
_LOADS_MODELS = {"suites", "hostile", "scan", "scorer", "fakegpu", "checkpoint", "frontier", "release", "test_pdf.py"}
"""Rooms whose tests load models, draw at random, or do so through what they import."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--fast`: what a change of pure code is checked by while it is written; `make test-fast`."""
    parser.addoption("--fast", action="store_true", help="leave out slow tests, processes and models")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under --fast, leave out what is slow; what is left out is counted in the summary."""
    if not config.getoption("--fast"):
        return
    left_out = [item for item in items if item.get_closest_marker("slow") or _is_heavy(item.path)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


@cache
def _is_heavy(path: Path) -> bool:
    inside = set(path.relative_to(ROOT / "tests").parts)
    return bool(inside & _LOADS_MODELS) or _HEAVY.search(path.read_text(encoding="utf-8")) is not None


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
