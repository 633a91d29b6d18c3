from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import nltk.data
import pytest


@pytest.fixture(scope="package", autouse=True)
def _offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No network, and a cache and an nltk search path of these tests' own, as what they share was read from there."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(socket.socket, "connect", refuse)
        patch.setenv("ASSAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(nltk.data, "path", list(nltk.data.path))
        yield
