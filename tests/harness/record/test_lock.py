"""Who works on an audit: told by the lock itself, never by what a file says."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import AuditError
from harness.record.lock import LOCK, holder, writing

HOLD = """
import sys, time
from pathlib import Path
from harness.record.lock import writing
with writing(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_holder_is_named_while_it_holds_and_not_after_it_was_killed(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    found = holder(tmp_path)
    assert found is not None
    assert (found.pid, found.host) == (process.pid, socket.gethostname())
    process.kill()
    process.wait()
    process.stdout.close()
    assert str(process.pid) in (tmp_path / LOCK).read_text()  # the file still names it
    assert holder(tmp_path) is None


def test_who_only_asks_keeps_nobody_from_the_audit(tmp_path: Path) -> None:
    asks = f"""
import time
from pathlib import Path
from harness.record.lock import holder
print("asks", flush=True)
while True:
    holder(Path({str(tmp_path)!r}))
    time.sleep(0.0005)
"""
    with writing(tmp_path):
        pass
    process = subprocess.Popen([sys.executable, "-c", asks], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "asks\n"
    try:
        for _ in range(100):
            with writing(tmp_path):
                pass
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_lock_that_is_no_file_is_waited_for_by_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LOCK)
    assert holder(tmp_path) is None


def test_a_holder_that_has_not_named_itself_is_still_one(tmp_path: Path) -> None:
    with writing(tmp_path):
        (tmp_path / LOCK).write_text("x on y")
        found = holder(tmp_path)
    assert found is not None
    assert (found.pid, found.host) == (0, "")


def test_a_full_disk_is_said_with_its_file_and_leaves_the_lock_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(AuditError, match=r"audit\.lock: the disk is full"), writing(tmp_path):
            pass
    assert holder(tmp_path) is None
    with writing(tmp_path):
        pass
