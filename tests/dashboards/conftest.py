from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Streamlit makes its script `__main__`, which every process that is spawned later would run first."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main
