from __future__ import annotations

import json
from pathlib import Path

import pytest

from dashboards.access.noted import ACTIONS, note_action


def test_each_action_is_a_line_with_who_and_when(tmp_path: Path) -> None:
    note_action(tmp_path, "anna@example.org\n{}", "start", "one", permissions=["--allow-pickle"])
    note_action(tmp_path, "", "stop", "two")
    lines = [json.loads(line) for line in (tmp_path / ACTIONS).read_text().splitlines()]
    assert [(line["user"], line["action"], line["audit"]) for line in lines] == [
        ("anna@example.org\n{}", "start", "one"),
        ("", "stop", "two"),
    ]
    assert lines[0]["permissions"] == ["--allow-pickle"]
    assert all(line["at"].endswith("+00:00") for line in lines)
    assert (tmp_path / ACTIONS).stat().st_mode & 0o077 == 0


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / ACTIONS).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        note_action(tmp_path, "", "stop", "two")
    assert not (tmp_path / "elsewhere").exists()
