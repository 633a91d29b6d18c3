"""One key per folder of audits: it lasts, nobody else reads it, and a folder that cannot hold one costs nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dashboards.folder_key import NAME, folder_key


@pytest.fixture(autouse=True)
def _restarted() -> None:
    folder_key.cache_clear()


def test_a_restart_finds_the_same_key_and_another_folder_has_its_own(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    first = folder_key(tmp_path)
    folder_key.cache_clear()
    assert folder_key(tmp_path) == first
    assert len(first) == 32
    assert folder_key(other) != first
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, "other"]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_what_is_no_key_is_left_alone_and_not_used(content: bytes, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert len(folder_key(tmp_path)) == 32
    assert folder_key(tmp_path) == folder_key(tmp_path)
    assert (tmp_path / NAME).read_bytes() == content


def test_a_folder_that_is_not_there_has_a_key_of_this_process(tmp_path: Path) -> None:
    assert len(folder_key(tmp_path / "nothing")) == 32
    assert not (tmp_path / "nothing").exists()


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NAME)
    assert len(folder_key(tmp_path)) == 32
