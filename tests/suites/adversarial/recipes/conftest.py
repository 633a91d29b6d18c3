from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def recipes_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _offline(recipes_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and a cache of these tests' own, the same for all: what they share was read from there."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("ASSAY_CACHE", str(recipes_cache))
