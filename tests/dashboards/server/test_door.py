"""Headers of a request decide whether a page shows anything, however the server was started."""

from __future__ import annotations

import pytest

from dashboards.server.door import HOSTS, admits


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost:8501"},
        {"Host": "127.0.0.1:8501", "Origin": "http://127.0.0.1:8501"},
        {"Host": "LOCALHOST:8501", "Origin": "http://localhost:8501"},
        {"Host": "[::1]:8501", "Origin": "http://[::1]:8501"},
        {},
    ],
)
def test_this_machine_is_let_in(headers: dict[str, str]) -> None:
    assert admits(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:8501", "Origin": "http://evil.example:8501"},
        {"Host": "localhost.evil.example"},
        {"Host": "localhost@evil.example"},
        {"Host": "evil.example#localhost"},
        {"Host": "localhost:port"},
        {"Host": ""},
        {"Origin": "http://localhost:8501"},
        {"Host": "localhost:8501", "Origin": "http://evil.example"},
        {"Host": "localhost:8501", "Origin": "http://localhost:9999"},
        {"Host": "localhost:8501", "Origin": "null"},
        {"Host": "localhost:8501", "Origin": "http://[::1"},
        {"Host": "localhost:8501", "Origin": "http://localhost:8501@evil.example"},
    ],
)
def test_others_are_not(headers: dict[str, str]) -> None:
    assert not admits(headers)


def test_a_name_can_be_added_but_not_all_names(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Host": "audits.example"}
    monkeypatch.setenv(HOSTS, "*, *.example")
    assert not admits(headers)
    monkeypatch.setenv(HOSTS, "other, Audits.example ")
    assert admits(headers)
