from __future__ import annotations

import json
import os
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


def test_no_part_of_a_line_is_a_line_and_no_name_is_too_odd_to_note(tmp_path: Path) -> None:
    name = 'x\u2028{"user": "anna"}\x85\x0b\ud800'
    note_action(tmp_path, name, "start", "one")
    (line,) = (tmp_path / ACTIONS).read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["user"] == name


def test_a_planted_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ACTIONS)
    with pytest.raises(OSError, match="No such device"):
        note_action(tmp_path, "", "stop", "two")


def test_a_line_that_finds_no_room_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda _handle, content: len(content) - 1)
    with pytest.raises(OSError, match="No space"):
        note_action(tmp_path, "", "stop", "two")


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / ACTIONS).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        note_action(tmp_path, "", "stop", "two")
    assert not (tmp_path / "elsewhere").exists()
