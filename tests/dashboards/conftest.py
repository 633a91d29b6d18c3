from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st

from dashboards.settings import KEY, OUTPUT, PERMISSIONS, ROLES, TRACKING_URI


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Streamlit makes its script `__main__`, which every process that is spawned later would run first."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of audits of a dashboard that nobody may start anything from and that remembers nothing."""
    monkeypatch.setenv(OUTPUT, str(tmp_path / "audits"))
    for name in (TRACKING_URI, KEY, ROLES, PERMISSIONS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    st.cache_data.clear()
    st.cache_resource.clear()
    return tmp_path / "audits"
